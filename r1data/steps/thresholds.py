"""The gates that compare a number: which measure with which of the recipe's thresholds; and the recipe's examples.

An example is measured and gated as a candidate whose verdict is correct.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from r1data.errors import CheckFailed, RecipeError
from r1data.gate_params import PASS, GateExample, GateParams
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
    first = recipe.cold_start.gate.thresholds
    gates = {
        "cold_start": refined_gate(first) if recipe.cold_start.teacher else first,
        "sft_mix": recipe.sft_mix.gate.thresholds,
    }
    _asked_for(recipe)
    lines = [
        f"  gate_examples[{i}] {_beginning(example)} in {stage}: {line}"
        for i, example in enumerate(recipe.gate_examples)
        for stage in example.stages
        for line in _surprise(gates[stage], example)
    ]
    if lines:
        raise CheckFailed(
            f"recipe {recipe.name}: {len(lines)} gate examples came out otherwise than expected\n" + "\n".join(lines),
            "change the threshold in that stage's gate, or what the example expects",
        )
    return len(recipe.gate_examples)


def refined_gate(gate: GateParams) -> GateParams:
    """The gate of what a teacher refined: one language means the question's, which the teacher was told."""
    if not gate.single_language or gate.language_consistency is not None:
        return gate
    return gate.model_copy(update={"language_consistency": 1.0})


def _asked_for(recipe: Recipe) -> None:
    """`RecipeError` for a band of a step that is off: nothing would ever ask it."""
    for stage, part in (("cold_start", recipe.cold_start), ("sft_mix", recipe.sft_mix)):
        off = {"near_duplicate": f"[{stage}.dedup]"} if part.dedup is None else {}
        off |= {"contamination": "[decontamination]"} if recipe.decontamination is None else {}
        for gate, section in off.items():
            if gate in part.gate.bands:
                told = f"[{stage}.gate.bands] {gate}: the recipe has no {section}"
                raise RecipeError(told, f"add {section}, or leave the band out")


def _surprise(gate: GateParams, example: GateExample) -> Iterator[str]:
    """What came out, where it is not what was expected."""
    facts = measured(example.text, example.finish, example.language)
    told = {"verdict": "correct", "reason": "", "completion_tokens": len(example.text)}
    miss = missed(gate, {**told, **facts})
    if (miss[0] if miss else PASS) != example.expect:
        found = f"misses {miss[0]} ({f'{miss[1]} {miss[2]}'.rstrip()})" if miss else "passes every gate"
        compared = _compared(gate, {example.expect, miss[0] if miss else ""}, facts)
        yield f"expected {example.expect}, {found}{compared}"


def _compared(gate: GateParams, names: set[str], facts: Mapping[str, Any]) -> str:
    return "".join(
        f"; {t.measure} is {facts[t.measure]}, threshold {getattr(gate, t.parameter)}"
        for t in THRESHOLDS
        if t.gate in names
    )


def _beginning(example: GateExample) -> str:
    text = example.completion
    return repr(text if len(text) <= BEGINNING else text[:BEGINNING] + "...")
