"""Where the thresholds of gates could be: percentiles of each gated measure, and what a threshold would drop.

Scores are read, none is computed. One gate at a time: what another gate drops as well is counted for both.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from r1data import html
from r1data.errors import LakeError
from r1data.manifest import read_rows
from r1data.refs import list_refs, resolve
from r1data.report.histogram import histogram
from r1data.steps.thresholds import THRESHOLDS, Threshold
from r1data.storage import Lake

PERCENTILES = (0, 1, 5, 25, 50, 75, 95, 99, 100)
PERCENTILE_COLUMNS = ("measure", "of", "rows", *(f"p{p}" for p in PERCENTILES))
DROP_COLUMNS = ("measure", "threshold", "", "drops of correct", "share", "drops of all", "share")


@dataclass(frozen=True)
class Tuned:
    """A gated measure's values over correct candidates and over all (NaN: unmeasured), and two thresholds for it.

    `current` is what the drops beside the measures were made with; None where the gate is off or did not run.
    """

    threshold: Threshold
    correct: np.ndarray
    every: np.ndarray
    current: float | None
    suggested: float | None

    def drops(self, value: float, of: np.ndarray) -> int:
        """How many rows a threshold would drop; unmeasured ones leave where at least so much is asked for."""
        if self.threshold.at_least:
            return int(np.count_nonzero(~(of >= value)))
        return int(np.count_nonzero(of > value))

    @property
    def rule(self) -> str:
        """How the measure is compared."""
        return f"{self.threshold.measure} {'>=' if self.threshold.at_least else '<='}"


def tuned(lake: Lake, ref: str, keep: float) -> list[Tuned]:
    """Every gated measure of a ref to MEASURES; the suggested threshold keeps `keep` percent of the correct rows."""
    prefix, _, table = ref.rpartition("/")
    if table != "measures" or f"{prefix}/verdicts" not in list_refs(lake):
        raise LakeError(
            f"{ref}: no measures with verdicts beside them", "give a ref such as demo/sft_mix/measures; see `r1 status`"
        )
    wanted = ["candidate_id", *(t.measure for t in THRESHOLDS)]
    measures = pl.DataFrame(read_rows(lake, resolve(lake, ref), wanted))
    verdicts = pl.DataFrame(read_rows(lake, resolve(lake, f"{prefix}/verdicts"), ["candidate_id", "verdict"]))
    rows = measures.join(verdicts, on="candidate_id", how="inner", validate="1:1")
    right = rows["verdict"].to_numpy() == "correct"
    current = resolve(lake, f"{prefix}/drops").params if f"{prefix}/drops" in list_refs(lake) else {}
    found = []
    for t in THRESHOLDS:
        values = rows[t.measure].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        at = _suggested(t, values[right], keep)
        found.append(Tuned(t, values[right], values, current.get(t.parameter), at))
    return found


def _suggested(threshold: Threshold, values: np.ndarray, keep: float) -> float | None:
    """The percentile that leaves out the rest, on the far side; None where no threshold keeps so many.

    What is unmeasured leaves where at least so much is asked for, so that it counts as least of all.
    """
    measured = np.where(np.isnan(values), -np.inf, values) if threshold.at_least else values[~np.isnan(values)]
    if not measured.size:
        return None
    at, method = (100 - keep, "lower") if threshold.at_least else (keep, "higher")
    found = float(np.percentile(measured, at, method=method))  # type: ignore[call-overload]
    return found if np.isfinite(found) else None


def percentile_rows(found: Sequence[Tuned]) -> list[tuple[str, ...]]:
    """Two rows a measure: over correct candidates, and over all."""
    return [
        (t.threshold.measure if of == "correct" else "", of, f"{values.size:,}", *_percentiles(values))
        for t in found
        for of, values in (("correct", t.correct), ("all", t.every))
    ]


def drop_rows(found: Sequence[Tuned]) -> list[tuple[str, ...]]:
    """What each threshold would drop, its own gate alone."""
    return [row for t in found for row in _drop_rows(t)]


def _drop_rows(t: Tuned) -> Iterator[tuple[str, ...]]:
    for name, value in (("current", t.current), ("suggested", t.suggested)):
        if value is None:
            yield t.rule, "off" if name == "current" else "-", name, "-", "-", "-", "-"
            continue
        counts = [(t.drops(value, of), max(1, of.size)) for of in (t.correct, t.every)]
        yield t.rule, exactly(value), name, *(c for n, of in counts for c in (f"{n:,}", f"{100 * n / of:.1f} %"))


def _percentiles(values: np.ndarray) -> list[str]:
    measured = values[~np.isnan(values)]
    if not measured.size:
        return ["-"] * len(PERCENTILES)
    return [told(v) for v in np.percentile(measured, PERCENTILES)]


def exactly(value: float) -> str:
    """A threshold as it can be typed: rounded it would drop other rows."""
    return f"{value:.0f}" if float(value).is_integer() else repr(float(value))


def told(value: float) -> str:
    """Whole numbers as such, others with three decimals."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.3f}"


def write_tuning(lake: Lake, ref: str, found: Sequence[Tuned], keep: float) -> str:
    """Write `reports/RECIPE/gates-PREFIX.html` into the lake, histograms and both tables; returns its URI."""
    recipe, _, rest = ref.removesuffix("/measures").partition("/")
    name = f"reports/{recipe}/gates-{rest.replace('/', '-')}.html"
    lake.write(name, html.document(f"Gates of {recipe}/{rest}", _parts(found, keep)).encode())
    return lake.uri(name)


def _parts(found: Sequence[Tuned], keep: float) -> Iterator[str]:
    yield html.paragraph(
        f"Suggested thresholds keep {keep:g} % of the correct candidates. Blue: correct; grey: all; "
        "solid line: current threshold; dotted: suggested. Counts are on a logarithmic scale."
    )
    yield f'<div class="plots">{"".join(_figures(found))}</div>'
    yield html.heading("Percentiles")
    yield html.table(PERCENTILE_COLUMNS, percentile_rows(found))
    yield html.heading("What a threshold would drop, its own gate alone")
    yield html.table(DROP_COLUMNS, drop_rows(found))


def _figures(found: Sequence[Tuned]) -> Iterator[str]:
    for t in found:
        name = t.threshold.measure
        lines = {"current": t.current, "suggested": t.suggested}
        marks = ", ".join(f"{k} {told(v)}" for k, v in lines.items() if v is not None)
        svg = histogram(name, t.every, t.correct, t.current, t.suggested)
        yield html.figure(f"{name}: histogram; {marks}", svg, name.replace("_", " "))
