"""What an audit found: how often the second method rejects what was accepted, and accepts what was rejected."""

from collections.abc import Iterable, Sequence
from math import sqrt

import polars as pl

from r1data.manifest import read_rows
from r1data.refs import Current
from r1data.report.evaluation import markdown
from r1data.report.markup import fenced

COLUMNS = ("audit", "kind", "second method", "looked at", "differ", "possible share", "95 % interval", "cannot say")
QUESTIONS = (("correct", "wrong", "false accepts"), ("wrong", "correct", "false rejects"))
NO_ANSWER = "no answer found"
Z = 1.959964


def audit_markdown(found: Sequence[tuple[str, pl.DataFrame]]) -> str:
    """The table of audits for a Prefect artifact, and answers that the methods judge differently, as plain text."""
    if not found:
        return "No verdicts were audited."
    differing = disagreements(found)
    shown = f"## Answers judged differently\n\n{fenced(differing)}\n\n`r1 trace ID` shows where a candidate came from."
    told = shown if differing else "No answer is judged differently."
    return f"{markdown(COLUMNS, rows_of(found))}\n\n{told}"


def audits(refs: Current, recipe: str) -> list[tuple[str, pl.DataFrame]]:
    """What was audited, and AUDITS of it."""
    found = [ref for ref in refs.of(recipe) if ref.endswith("/audit")]
    names = [ref.removeprefix(f"{recipe}/").removesuffix("/audit") for ref in found]
    return [(n, pl.DataFrame(read_rows(refs.lake, refs[ref]))) for n, ref in zip(names, found, strict=True)]


def rows_of(found: Iterable[tuple[str, pl.DataFrame]]) -> list[tuple[str, ...]]:
    """A row for false accepts and one for false rejects, by audited dataset and kind."""
    return [row for name, frame in found for row in _rows(name, frame)]


def disagreements(found: Iterable[tuple[str, pl.DataFrame]], most: int = 8) -> list[str]:
    """Answers that the two methods judge differently, for people to look at; so many of each audit."""
    lines = []
    for _, frame in found:
        rows = frame.filter((pl.col("verdict") != pl.col("second")) & (pl.col("second") != "undecided"))
        lines += [
            f"{r['verdict']} by {r['tier']}, {r['second']} by {r['method']}: {r['answer']}  ({r['candidate_id']})"
            for r in rows.head(most).with_columns(pl.col("answer").fill_null(NO_ANSWER)).to_dicts()
        ]
    return lines


def wilson(count: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share; (0, 1) of nothing."""
    if not of:
        return 0.0, 1.0
    p, z = count / of, Z * Z
    middle, half = p + z / (2 * of), Z * sqrt(p * (1 - p) / of + z / (4 * of * of))
    return max(0.0, (middle - half) / (1 + z / of)), min(1.0, (middle + half) / (1 + z / of))


def _rows(audit: str, frame: pl.DataFrame) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for kind, method in frame.select("kind", "method").unique().sort("kind").iter_rows():
        for first, second, name in QUESTIONS:
            mine = frame.filter((pl.col("kind") == kind) & (pl.col("verdict") == first))
            said = mine.filter(pl.col("second") != "undecided")
            differ = said.filter(pl.col("second") == second).height
            low, high = wilson(differ, said.height)
            share = f"{100 * differ / said.height:.1f} %" if said.height else "-"
            found.append(
                (
                    f"{audit}: {name}",
                    kind,
                    method,
                    f"{said.height:,}",
                    f"{differ:,}",
                    share,
                    f"{100 * low:.1f} to {100 * high:.1f} %",
                    f"{mine.height - said.height:,}",
                )
            )
    return found
