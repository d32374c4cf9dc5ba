"""A stage ends after its steps, or where a metric rises no more; its metrics alone decide."""

import pytest

from r1data.errors import RecipeError
from r1data.training_params import GrpoParams, OptimizerParams, PlateauParams
from training.stopping import reason_to_stop

PARAMS = GrpoParams(optimizer=OptimizerParams(learning_rate=1e-3), template="{question}", steps=8)
RULE = PARAMS.model_copy(update={"plateau": PlateauParams(window=2, least_gain=0.1)})


def metrics(*values: float) -> list[dict[str, float]]:
    return [{"step": i + 1, "elapsed_s": 0.0, "reward": v} for i, v in enumerate(values)]


def test_ends_after_its_steps() -> None:
    assert reason_to_stop(metrics(*[0.0] * 7), PARAMS) == ""
    assert reason_to_stop(metrics(*[0.0] * 8), PARAMS) == "steps: all 8"


def test_plateau_needs_two_windows() -> None:
    assert reason_to_stop(metrics(0.5, 0.5, 0.5), RULE) == ""
    assert reason_to_stop(metrics(0.5, 0.5, 0.5, 0.5), RULE) == "plateau: reward 0.5 -> 0.5 over windows of 2 steps"


@pytest.mark.parametrize(("last", "goes_on"), [(0.62, True), (0.58, False), (0.1, False)])
def test_plateau_asks_for_its_least_gain(last: float, goes_on: bool) -> None:
    assert (reason_to_stop(metrics(0.9, 0.5, 0.5, last, last), RULE) == "") is goes_on


def test_steps_without_the_metric_do_not_count() -> None:
    found = [*metrics(0.5, 0.5, 0.5), {"step": 4, "elapsed_s": 0.0, "loss": 1.0}]
    assert reason_to_stop(found, RULE) == ""


def test_unknown_metric_is_told_with_those_there_are() -> None:
    other = PARAMS.model_copy(update={"plateau": PlateauParams(metric="rewards", window=2)})
    with pytest.raises(RecipeError, match="no metric 'rewards'"):
        reason_to_stop(metrics(0.5, 0.5), other)
