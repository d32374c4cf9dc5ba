"""The table of checkpoints: pass@1 with its interval, cons@k, format, language consistency, length."""

from dataclasses import dataclass

import polars as pl

from r1data.errors import LakeError
from r1data.refs import list_refs, resolve
from r1data.runner import frame_of
from r1data.storage import Lake

ORDER = ("base", "zero", "dev1", "dev2", "dev3", "r1", "student_base", "distill", "student_rl")
COLUMNS = ("checkpoint", "pass@1", "95 % interval", "cons@k", "format", "language", "length")


@dataclass(frozen=True)
class Estimate:
    """One metric of one checkpoint."""

    value: float | None
    low: float | None
    high: float | None


def estimates(lake: Lake, recipe: str) -> dict[str, dict[str, Estimate]]:
    """checkpoint -> metric -> estimate, for every evaluated checkpoint of a recipe."""
    prefix = f"{recipe}/eval/"
    names = [r.removeprefix(prefix) for r in list_refs(lake) if r.startswith(prefix) and r.count("/") == 2]
    found = {}
    for name in sorted(names, key=lambda n: ORDER.index(n) if n in ORDER else len(ORDER)):
        rows = frame_of(lake, resolve(lake, prefix + name)).select("metric", "value", "low", "high")
        found[name] = {m: Estimate(v, low, high) for m, v, low, high in rows.iter_rows()}
    return found


def rows(lake: Lake, recipe: str) -> list[tuple[str, ...]]:
    """The table's cells as text."""
    table = []
    for name, metrics in estimates(lake, recipe).items():
        first = metrics["pass@1"]
        span = f"{_percent(first.low)} to {_percent(first.high)}"
        shares = [_percent(metrics[m].value) for m in ("cons@k", "format", "language_consistency")]
        length = metrics["completion_tokens"].value
        table.append((name, _percent(first.value), span, *shares, "-" if length is None else f"{length:.1f}"))
    if not table:
        raise LakeError(f"{lake.url}: nothing of recipe {recipe!r} is evaluated yet", f"r1 run {recipe}")
    return table


def evaluation_text(lake: Lake, recipe: str) -> str:
    """The table for a terminal."""
    cells = [COLUMNS, *rows(lake, recipe)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(COLUMNS))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells)


def evaluation_markdown(lake: Lake, recipe: str) -> str:
    """The table for a Prefect artifact or a README."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows(lake, recipe)])


def funnel(lake: Lake, recipe: str, stage: str) -> pl.DataFrame:
    """Rows that left a stage by gate and reason, most first."""
    drops = frame_of(lake, resolve(lake, f"{recipe}/{stage}/drops"))
    return drops.group_by("gate", "reason").len("rows").sort("rows", "gate", descending=[True, False])


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
