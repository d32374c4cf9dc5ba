"""What the nodes of a recipe took: tokens that models generated, seconds, GPU-hours and their price.

Of what is in the lake now, whenever it was paid for; what one run has spent is its `Spending`. GPU-hours of sampling
are tokens at the speed that the node's own record (`r1data.pilot`) keeps; those of training are its seconds times the
processes of the recipe as it is. A teacher's servers are elsewhere: their tokens are counted, their hours not known.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import polars as pl

from r1data.manifest import Manifest, carried, read_rows
from r1data.pilot import read_pilot
from r1data.recipe import Recipe
from r1data.spending import BudgetParams
from r1data.storage import Lake

COLUMNS = ("node", "what", "tokens generated", "GPU-hours", "cost", "seconds", "answers", "tokens asked")


@dataclass(frozen=True)
class CostLine:
    """One node: answers and their tokens (None: asks no model), wall seconds, GPU-hours (None: not known)."""

    node: str
    what: str
    answers: int | None
    prompt_tokens: int | None
    tokens: int | None
    seconds: float
    gpu_hours: float | None

    def cells(self, budget: BudgetParams) -> tuple[str, ...]:
        """The line's cells, in the order of COLUMNS; `-` where something is not known or is none."""
        said, *asked = ("-" if n is None else f"{n:,}" for n in (self.tokens, self.answers, self.prompt_tokens))
        hours = "-" if self.gpu_hours is None else "< 0.01" if 0 < self.gpu_hours < 0.01 else f"{self.gpu_hours:,.2f}"
        price = "" if self.gpu_hours is None else budget.money(self.gpu_hours)
        return self.node, self.what, said, hours, price or "-", f"{self.seconds:,.1f}", *asked


def cost_lines(lake: Lake, recipe: Recipe, made: Mapping[str, Manifest]) -> list[CostLine]:
    """The sum of what is known, then a line for every node that asks a model or trains one, and one for all others."""
    told = [*_asked(lake, recipe, made), *_trained(lake, recipe, made)]
    named = {line.node for line in told}
    rest = [m for name, m in made.items() if name not in named]
    if rest:
        seconds = sum(m.finished - m.started for m in rest)
        told.append(CostLine(f"{len(rest)} others", "tables", None, None, None, seconds, None))
    return [_sum(told), *told]


def _asked(lake: Lake, recipe: Recipe, made: Mapping[str, Manifest]) -> Iterator[CostLine]:
    for name, manifest in made.items():
        if not (manifest.table or "").startswith("candidates/"):
            continue
        tokens = pl.DataFrame(read_rows(lake, manifest, ["prompt_tokens", "completion_tokens"]))
        generated = int(tokens["completion_tokens"].sum())
        pilot, hours = read_pilot(lake, recipe.name, name), None
        if pilot is not None and pilot.tokens_per_second:
            hours = generated / pilot.tokens_per_second * pilot.gpus / 3600
        seconds = manifest.finished - manifest.started
        asked = int(tokens["prompt_tokens"].sum())
        yield CostLine(name, "sampling", manifest.rows, asked, generated, seconds, hours)


def _trained(lake: Lake, recipe: Recipe, made: Mapping[str, Manifest]) -> Iterator[CostLine]:
    cluster = recipe.cluster
    for name, manifest in made.items():
        if manifest.kind != "checkpoint":
            continue
        answers = tokens = None
        gpus = cluster.ranks
        for rows in carried(lake, manifest):
            if rows.table == "rollouts":
                said = rows(["completion_tokens"])["completion_tokens"].to_pylist()
                answers, tokens = len(said), sum(said)
                gpus += cluster.budget.gpus if cluster.rollouts == "server" else 0
        seconds = manifest.finished - manifest.started
        yield CostLine(name, f"training ({manifest.step})", answers, None, tokens, seconds, seconds * gpus / 3600)


def _sum(lines: list[CostLine]) -> CostLine:
    def total(values: list[int | None]) -> int:
        return sum(v for v in values if v is not None)

    return CostLine(
        "total",
        "all of these",
        total([line.answers for line in lines]),
        total([line.prompt_tokens for line in lines]),
        total([line.tokens for line in lines]),
        sum(line.seconds for line in lines),
        sum(line.gpu_hours for line in lines if line.gpu_hours is not None),
    )
