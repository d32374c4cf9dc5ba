"""Estimates: undecided and unmeasured are counted apart, votes go by value, intervals are over problems."""

from typing import Any

import polars as pl
import pytest

from r1data.outcomes.evaluation import EvaluateParams, evaluation
from r1data.sampling_params import SamplingParams

SAMPLING = SamplingParams(samples=4, temperature=1.0)
VERDICTS: dict[str, list[tuple[str, str | None]]] = {
    "p1": [("correct", "68"), ("correct", "68.0"), ("wrong", "67"), ("undecided", "x")],
    "p2": [("wrong", "1"), ("wrong", "1"), ("correct", "2"), ("wrong", None)],
}


def tables(consistency: list[float | None]) -> dict[str, pl.DataFrame]:
    rows = [(f"{p}-{i}", p, v, a) for p, group in VERDICTS.items() for i, (v, a) in enumerate(group)]
    ids = pl.DataFrame({"candidate_id": [r[0] for r in rows], "problem_id": [r[1] for r in rows]})
    indices = [i for group in VERDICTS.values() for i in range(len(group))]
    candidates = ids.with_columns(
        sample_index=pl.Series(indices), completion_tokens=pl.lit(10), model_digest=pl.lit("d")
    )
    verdicts = ids.with_columns(verdict=pl.Series([r[2] for r in rows]), answer=pl.Series([r[3] for r in rows]))
    measures = candidates.drop("model_digest", "sample_index").with_columns(
        format_ok=pl.lit(True),
        truncated=pl.lit(False),
        reflection_words=pl.lit(0),
        language_consistency=pl.Series(consistency, dtype=pl.Float64),
    )
    problems = ids.select("problem_id").unique().with_columns(kind=pl.lit("math"))
    return {"candidates": candidates, "verdicts": verdicts, "measures": measures, "problems": problems}


def estimated(consistency: list[float | None]) -> dict[str, dict[str, Any]]:
    frame = evaluation(params=EvaluateParams(checkpoint="c", sampling=SAMPLING, bootstrap=50), **tables(consistency))
    return {row["metric"]: row for row in frame.to_dicts()}


def test_pass_at_1_leaves_undecided_out_and_counts_it() -> None:
    row = estimated([1.0] * 8)["pass@1"]
    assert row["value"] == pytest.approx((2 / 3 + 1 / 4) / 2)
    assert row["unmeasured"] == 1
    assert row["low"] <= row["value"] <= row["high"]


def test_pass_at_the_number_of_samples_needs_all_of_them_decided() -> None:
    row = estimated([1.0] * 8)["pass@4"]
    assert (row["value"], row["unmeasured"]) == (1.0, 4)


def test_votes_go_by_value() -> None:
    assert estimated([1.0] * 8)["cons@k"]["value"] == pytest.approx(0.5)


def test_null_measure_is_not_one() -> None:
    row = estimated([None] * 4 + [0.5] * 4)["language_consistency"]
    assert (row["value"], row["unmeasured"]) == (0.5, 4)


def test_nothing_measurable_is_null() -> None:
    row = estimated([None] * 8)["language_consistency"]
    assert (row["value"], row["low"], row["unmeasured"]) == (None, None, 8)
