"""Reliability bins and their error, on cases worked by hand."""

import numpy as np
import pytest

from training.calibration import Predictions


def test_bins_count_error_and_loss() -> None:
    made = Predictions(np.array([0.05, 0.05, 0.95, 0.95]), np.array([0.0, 1.0, 1.0, 1.0]))
    table = made.table("rm").to_pylist()
    assert [(r["rows"], r["observed"]) for r in table] == [(2, 0.5), (2, 1.0)]
    assert [r["predicted"] for r in table] == pytest.approx([0.05, 0.95])
    told = made.metrics()
    assert told["held_out_ece"] == pytest.approx((2 * 0.45 + 2 * 0.05) / 4)
    assert told["held_out_log_loss"] == pytest.approx(-(3 * np.log(0.95) + np.log(0.05)) / 4)


def test_calibrated_is_without_error_and_overconfident_is_not() -> None:
    rng = np.random.default_rng(0)
    probability = rng.uniform(size=20_000)
    outcome = (rng.uniform(size=20_000) < probability).astype(float)
    assert Predictions(probability, outcome).metrics()["held_out_ece"] < 0.02
    sure = np.clip(probability * 3 - 1, 0, 1)
    assert Predictions(sure, outcome).metrics()["held_out_ece"] > 0.1


def test_bounds_belong_to_a_bin() -> None:
    made = Predictions(np.array([0.5, 1.0]), np.array([1.0, 1.0]), least=0.5)
    assert [(r["low"], r["high"], r["rows"]) for r in made.table("rm").to_pylist()] == [(0.5, 0.55, 1), (0.95, 1.0, 1)]


def test_certain_and_wrong_is_a_finite_loss() -> None:
    assert np.isfinite(Predictions(np.array([1.0]), np.array([0.0])).metrics()["held_out_log_loss"])
