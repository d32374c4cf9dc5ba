"""The table of checkpoints: pass@1 with its interval, cons@k, format, language consistency, length; shares in percent.

What could not be judged or measured is counted beside the shares that it is left out of.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from r1data.errors import LakeError
from r1data.manifest import read_rows
from r1data.refs import Current
from r1data.storage import Lake

ORDER = ("base", "zero", "dev1", "dev2", "dev3", "r1", "student_base", "distill", "student_rl")
COLUMNS = (
    *("checkpoint", "pass@1", "95 % interval", "cons@k", "format", "language", "length"),
    *("samples", "undecided", "no language"),
)


@dataclass(frozen=True)
class Estimate:
    """One metric of one checkpoint: None where nothing could be measured."""

    value: float | None
    low: float | None
    high: float | None
    problems: int = 0
    samples: int = 0
    unmeasured: int = 0


NOTHING = Estimate(None, None, None)


def estimates(lake: Lake, recipe: str, refs: Current | None = None) -> dict[str, dict[str, Estimate]]:
    """checkpoint -> metric -> estimate, for every evaluated checkpoint of a recipe, in the paper's order."""
    prefix = f"{recipe}/eval/"
    refs = refs or Current(lake)
    names = [r.removeprefix(prefix) for r in refs.of(recipe) if r.startswith(prefix) and r.count("/") == 2]
    columns = ["metric", "value", "low", "high", "problems", "samples", "unmeasured"]
    found = {}
    for name in sorted(names, key=lambda n: (ORDER.index(n) if n in ORDER else len(ORDER), n)):
        table = pl.DataFrame(read_rows(lake, refs[prefix + name], columns)).select(columns)
        found[name] = {metric: Estimate(*rest) for metric, *rest in table.iter_rows()}
    return found


def rows(lake: Lake, recipe: str) -> list[tuple[str, ...]]:
    """The table's cells as text; `LakeError` where nothing is evaluated yet."""
    table = rows_of(estimates(lake, recipe))
    if not table:
        raise LakeError(f"{lake.url}: nothing of recipe {recipe!r} is evaluated yet", f"r1 run {recipe}")
    return table


def rows_of(found: Mapping[str, dict[str, Estimate]]) -> list[tuple[str, ...]]:
    """The cells of estimates by checkpoint."""
    return [(name, *_cells(metrics)) for name, metrics in found.items()]


def evaluation_text(lake: Lake, recipe: str) -> str:
    """The table for a terminal."""
    cells = [COLUMNS, *rows(lake, recipe)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(COLUMNS))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells)


def evaluation_markdown(lake: Lake, recipe: str) -> str:
    """The table for a Prefect artifact or a README."""
    return markdown(COLUMNS, rows(lake, recipe))


def markdown(head: tuple[str, ...], body: list[tuple[str, ...]]) -> str:
    """A Markdown table; bars inside cells are escaped."""
    lines = ["| " + " | ".join(c.replace("|", "\\|") for c in row) + " |" for row in (head, *body)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def percent(value: float | None) -> str:
    """A share in percent; `-` where it is not known."""
    return "-" if value is None else f"{100 * value:.1f}"


def _cells(metrics: dict[str, Estimate]) -> tuple[str, ...]:
    first, length = metrics.get("pass@1", NOTHING), metrics.get("completion_tokens", NOTHING).value
    language = metrics.get("language_consistency", NOTHING)
    each = f"{first.samples / first.problems:.3g}" if first.problems else "-"
    return (
        percent(first.value),
        f"{percent(first.low)} to {percent(first.high)}",
        percent(metrics.get("cons@k", NOTHING).value),
        percent(metrics.get("format", NOTHING).value),
        percent(language.value),
        "-" if length is None else f"{length:.1f}",
        f"{first.problems:,} x {each}",
        f"{first.unmeasured:,}",
        f"{language.unmeasured:,}",
    )
