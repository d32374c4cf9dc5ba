"""What the recipe is meant to show, held against what was measured: differences in points of pass@1, paired by problem.

A claim is `yes`, `no`, `reported` (measured, nothing wanted) or `-` (not measured yet). A measure that is null is left
out and counted in the evaluation table; it never counts as 1.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import polars as pl

from r1data.manifest import Manifest, read_rows
from r1data.outcomes.evaluation import interval
from r1data.refs import Current
from r1data.report.evaluation import NOTHING, Estimate, estimates, markdown
from r1data.storage import Lake

COLUMNS = ("claim", "measured", "95 % interval", "wanted", "holds")
DRAWS = 2_000
GAIN, LOSS, SHARE = 20.0, -2.0, 0.95

Holds = Literal["yes", "no", "reported", "-"]


@dataclass(frozen=True)
class Difference:
    """Points of pass@1 by which one checkpoint is above another, over the problems that both were asked."""

    value: float
    low: float
    high: float
    problems: int


@dataclass(frozen=True)
class Claim:
    """One line: what is claimed, what was measured, what is wanted, and whether it holds."""

    text: str
    measured: str
    interval: str
    wanted: str
    holds: Holds

    @property
    def cells(self) -> tuple[str, ...]:
        """The line's cells, in the order of COLUMNS."""
        return self.text, self.measured, self.interval, self.wanted, self.holds


def claims(lake: Lake, recipe: str) -> list[Claim]:
    """Every claim of the recipe, measured or not."""
    refs = Current(lake)
    found = estimates(lake, recipe, refs)
    return claims_of(found, shares_by_checkpoint(refs, recipe, found))


def claims_of(found: Mapping[str, dict[str, Estimate]], shares: Mapping[str, pl.DataFrame]) -> list[Claim]:
    """The same from estimates and (problem_id, share) by checkpoint."""
    apart = _apart(found.get("base", {}), found.get("zero", {}))
    return [
        _claim(shares, "zero", "base", f">= {GAIN:.0f}, intervals apart", lambda d: d.value >= GAIN and apart),
        *(_share(found, c, m) for c in ("dev1", "dev2") for m in ("language_consistency", "format")),
        _claim(shares, "dev2", "dev1", f"interval from {LOSS:.0f} up", lambda d: d.low >= LOSS),
        _claim(shares, "r1", "dev2", f">= {LOSS:.0f}", lambda d: d.value >= LOSS),
        _claim(shares, "distill", "student_base", f">= {GAIN:.0f}", lambda d: d.value >= GAIN),
        _claim(shares, "distill", "student_rl", "", None),
    ]


def claims_markdown(lake: Lake, recipe: str) -> str:
    """The claims as a Markdown table."""
    return markdown(COLUMNS, [c.cells for c in claims(lake, recipe)])


def difference(first: pl.DataFrame, second: pl.DataFrame) -> Difference | None:
    """`first` less `second`, both (problem_id, share), bootstrap over shared problems; None if they share none."""
    paired = first.join(second, on="problem_id", suffix="_second").sort("problem_id")
    points = 100 * (paired["share"] - paired["share_second"]).to_numpy()
    low, high = interval(points, DRAWS, seed=0)
    if low is None or high is None:
        return None
    return Difference(float(points.mean()), low, high, points.size)


def shares_by_checkpoint(refs: Current, recipe: str, checkpoints: Iterable[str]) -> dict[str, pl.DataFrame]:
    """(problem_id, share) of each: pass@1 of a problem over its decided samples; no rows without verdicts."""
    nothing = pl.DataFrame(schema={"problem_id": pl.String, "share": pl.Float64})
    names = {c: f"{recipe}/eval/{c}/verdicts" for c in checkpoints}
    return {c: shares_of(refs.lake, refs[name]) if name in refs else nothing for c, name in names.items()}


def shares_of(lake: Lake, manifest: Manifest) -> pl.DataFrame:
    """(problem_id, share) of a table of verdicts: pass@1 of each problem over its decided samples."""
    verdicts = pl.DataFrame(read_rows(lake, manifest, ["problem_id", "verdict"]))
    decided = verdicts.filter(pl.col("verdict") != "undecided")
    return decided.group_by("problem_id").agg(share=(pl.col("verdict") == "correct").mean())


def _claim(
    shares: Mapping[str, pl.DataFrame],
    first: str,
    second: str,
    wanted: str,
    test: Callable[[Difference], bool] | None,
) -> Claim:
    text = f"{first} - {second}, points of pass@1"
    d = difference(shares[first], shares[second]) if first in shares and second in shares else None
    if d is None:
        return Claim(text, "-", "-", wanted, "-")
    holds: Holds = "reported" if test is None else "yes" if test(d) else "no"
    return Claim(text, f"{d.value:+.1f}", f"{d.low:+.1f} to {d.high:+.1f}", wanted, holds)


def _share(found: Mapping[str, dict[str, Estimate]], checkpoint: str, metric: str) -> Claim:
    text, wanted = f"{checkpoint}: {metric.replace('_', ' ')}", f">= {SHARE}"
    estimate = found.get(checkpoint, {}).get(metric, NOTHING)
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return Claim(text, "-", "-", wanted, "-")
    span = f"{estimate.low:.3f} to {estimate.high:.3f}"
    return Claim(text, f"{estimate.value:.3f}", span, wanted, "yes" if estimate.value >= SHARE else "no")


def _apart(below: Mapping[str, Estimate], above: Mapping[str, Estimate]) -> bool:
    high, low = below.get("pass@1", NOTHING).high, above.get("pass@1", NOTHING).low
    return high is not None and low is not None and low > high
