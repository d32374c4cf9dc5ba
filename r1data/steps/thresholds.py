"""The gates that compare a number: which measure with which of the recipe's thresholds; and the recipe's examples.

An example is measured and gated as a candidate whose verdict is correct.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from r1data.errors import CheckFailed
from r1data.gate_params import PASS, GateExample, GateParams, GateSection
from r1data.recipe import Recipe
from r1data.steps.gates import missed
from r1data.steps.measures import measured

BEGINNING = 60


@dataclass(frozen=True)
class Threshold:
    """A gate, the column of MEASURES that it reads, the field of `GateParams` that it compares with, and how."""

    gate: str
    measure: str
    parameter: str
    at_least: bool


THRESHOLDS = (
    Threshold("language", "language_consistency", "language_consistency", at_least=True),
    Threshold("paragraph", "longest_paragraph", "longest_paragraph", at_least=False),
    Threshold("repetition", "repetition", "repetition", at_least=False),
)


def check_gates(recipe: Recipe) -> int:
    """The number of examples that came out as expected; `CheckFailed` lists those that did not, with value and
    threshold."""
    sections = {"cold_start": recipe.cold_start.gate, "sft_mix": recipe.sft_mix.gate}
    lines = [f"  {name}.gate.{line}" for name, gate in sections.items() for line in _surprises(gate)]
    if lines:
        raise CheckFailed(
            f"recipe {recipe.name}: {len(lines)} gate examples came out otherwise than expected\n" + "\n".join(lines),
            "change the threshold in that section, or what the example expects",
        )
    return sum(len(gate.examples) for gate in sections.values())


def _surprises(gate: GateSection) -> Iterator[str]:
    for i, example in enumerate(gate.examples):
        facts = measured(example.completion, example.finish, example.language)
        told = {"verdict": "correct", "reason": "", "completion_tokens": len(example.completion)}
        miss = missed(gate.thresholds, {**told, **facts})
        if (miss[0] if miss else PASS) != example.expect:
            found = f"misses {miss[0]} ({f'{miss[1]} {miss[2]}'.rstrip()})" if miss else "passes every gate"
            yield f"examples[{i}] {_beginning(example)}: expected {example.expect}, {found}" + _compared(
                gate, {example.expect, miss[0] if miss else ""}, facts
            )


def _compared(gate: GateParams, names: set[str], facts: Mapping[str, Any]) -> str:
    return "".join(
        f"; {t.measure} is {facts[t.measure]}, threshold {getattr(gate, t.parameter)}"
        for t in THRESHOLDS
        if t.gate in names
    )


def _beginning(example: GateExample) -> str:
    text = example.completion
    return repr(text if len(text) <= BEGINNING else text[:BEGINNING] + "...")
