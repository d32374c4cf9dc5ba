"""Thresholds from percentiles: what they keep and drop, counted without rescoring, as a table and as a page."""

from pathlib import Path

import numpy as np
import pytest

from r1data.errors import LakeError
from r1data.report.tuning import (
    PERCENTILE_COLUMNS,
    Tuned,
    _suggested,
    drop_rows,
    exactly,
    percentile_rows,
    tuned,
    write_tuning,
)
from r1data.steps.thresholds import THRESHOLDS
from tests.r1data.inspect.tiny_lake import make_lake

LEAST = next(t for t in THRESHOLDS if t.at_least)
MOST = next(t for t in THRESHOLDS if not t.at_least)


def test_a_threshold_drops_what_is_beyond_it() -> None:
    values = np.array([0.1, 0.5, 0.9])
    told = [Tuned(t, values, values, None, None) for t in (LEAST, MOST)]
    assert [t.drops(0.5, t.every) for t in told] == [1, 1]


def test_what_is_unmeasured_misses_only_what_asks_for_so_much() -> None:
    values = np.array([np.nan, 1.0])
    assert [Tuned(t, values, values, None, None).drops(0.5, values) for t in (LEAST, MOST)] == [1, 1]
    assert Tuned(MOST, values, values, None, None).drops(2.0, values) == 0


def test_measures_of_a_lake_are_tuned(tmp_path: Path) -> None:
    lake = make_lake(tmp_path)
    found = tuned(lake, "tiny/cold_start/measures", keep=99)
    assert [t.threshold for t in found] == list(THRESHOLDS)
    repetition = next(t for t in found if t.threshold.measure == "repetition")
    assert (repetition.correct.size, repetition.every.size, repetition.suggested) == (2, 4, 0.0)
    assert all(len(row) == len(PERCENTILE_COLUMNS) for row in percentile_rows(found))
    assert ("repetition <=", "0", "suggested", "0", "0.0 %", "0", "0.0 %") in drop_rows(found)
    page = Path(write_tuning(lake, "tiny/cold_start/measures", found, 99).removeprefix("file://"))
    text = page.read_text(encoding="utf-8")
    assert page.relative_to(tmp_path) == Path("reports/tiny/gates-cold_start.html")
    assert text.count("<svg") == len(THRESHOLDS)
    assert 'href="http' not in text


def test_other_refs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="no measures with verdicts"):
        tuned(make_lake(tmp_path), "tiny/cold_start/drops", keep=99)


@pytest.mark.parametrize(("unmeasured", "suggested"), [(0, 1.0), (30, None)])
def test_a_suggestion_keeps_as_many_as_it_says(unmeasured: int, suggested: float | None) -> None:
    values = np.array([1.0] * 70 + [np.nan] * unmeasured)
    found = _suggested(LEAST, values, keep=99)
    assert found == suggested
    assert found is None or Tuned(LEAST, values, values, None, found).drops(found, values) == 0


def test_a_suggestion_can_be_typed_as_it_is_shown() -> None:
    assert [float(exactly(v)) for v in (0.5004003, 12_000.0)] == [0.5004003, 12_000.0]
