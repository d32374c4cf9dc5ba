"""How candidates were judged: verdicts of every judged dataset, by verifier and tier, with the commonest reasons."""

from collections.abc import Mapping

import polars as pl

from r1data.manifest import Manifest, read_rows
from r1data.report.evaluation import percent
from r1data.storage import Lake

COLUMNS = (
    *("candidates of", "tier", "rows", "correct", "wrong", "undecided"),
    *("correct of decided", "reasons", "verifier"),
)
VERDICTS = ("correct", "wrong", "undecided")
REASONS = 4


def verdict_rows(lake: Lake, made: Mapping[str, Manifest]) -> list[tuple[str, ...]]:
    """The table's cells for all datasets of VERDICTS among some nodes, by name; undecided ones are in no share."""
    return [row for name in sorted(made) if _is_judged(made[name]) for row in _rows(lake, name, made[name])]


def _is_judged(manifest: Manifest) -> bool:
    return (manifest.table or "").startswith("verdicts/")


def _rows(lake: Lake, name: str, verdicts: Manifest) -> list[tuple[str, ...]]:
    frame = pl.DataFrame(read_rows(lake, verdicts, ["verifier", "tier", "verdict", "reason"]))
    found = []
    for (verifier, tier), part in sorted(frame.group_by("verifier", "tier")):
        of = {v: part.filter(verdict=v).height for v in VERDICTS}
        decided = of["correct"] + of["wrong"]
        share = percent(of["correct"] / decided if decided else None)
        counts = (f"{n:,}" for n in (part.height, *of.values()))
        of_model = name.removesuffix("/verdicts")
        of_model = name.removesuffix("/verdicts")
        found.append((of_model, str(tier), *counts, share, _reasons(part), str(verifier)))
    return found


def _reasons(part: pl.DataFrame) -> str:
    counted = (
        part.filter(pl.col("reason") != "").group_by("reason").len().sort("len", "reason", descending=[True, False])
    )
    told = [f"{reason.replace('_', ' ')} {n:,}" for reason, n in counted.head(REASONS).iter_rows()]
    more = counted.height - REASONS
    return ", ".join(told + ([f"{more} more reasons"] if more > 0 else []))
