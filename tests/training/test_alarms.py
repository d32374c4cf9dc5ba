"""A collapse that lasts ends the stage, its state saved; one that does not last is no collapse."""

import sys
from pathlib import Path
from typing import Any

import pytest

from r1data.endpoint import Endpoint
from r1data.errors import StageFailed
from r1data.generate.server import start_server
from r1data.manifest import Manifest
from r1data.training_params import AlarmParams, GrpoParams
from training import grpo
from training.alarms import sign_of

ALARMS = AlarmParams(min_completion_tokens=10, max_zero_variance=0.9, patience=3)


def steps(*lengths: float) -> list[dict[str, float]]:
    return [{"step": i + 1, "completion_tokens": v, "zero_variance": 0.0} for i, v in enumerate(lengths)]


def test_sign_that_lasts_is_named_with_its_figures() -> None:
    assert sign_of(steps(50, 9, 8, 7), ALARMS) == "completion_tokens below 10 for 3 steps (now 7)"


@pytest.mark.parametrize("lengths", [(9.0, 8.0), (9.0, 8.0, 10.0), (9.0, 50.0, 8.0), (50.0, 50.0, 50.0)])
def test_short_or_broken_row_is_none(lengths: tuple[float, ...]) -> None:
    assert sign_of(steps(*lengths), ALARMS) is None


def test_step_without_the_metric_breaks_the_row() -> None:
    metrics = steps(9, 8, 7)
    del metrics[1]["completion_tokens"]
    assert sign_of(metrics, ALARMS) is None


def test_without_limits_nothing_rings() -> None:
    assert sign_of(steps(0, 0, 0), AlarmParams(patience=1)) is None


def test_stage_ends_with_its_state_saved(workshop: Any, base: Manifest, tmp_path: Path) -> None:
    params = GrpoParams.model_validate(
        {
            "optimizer": {"learning_rate": 1e-3, "micro_batch": 4},
            "template": "User: {question} Assistant: ",
            "steps": 5,
            "prompts_per_step": 2,
            "group": 2,
            "max_tokens": 16,
            "save_every": 100,
            "alarms": {"min_completion_tokens": 1000, "patience": 2},
        }
    )
    server = start_server(workshop.model(base), "fake", sys.executable, tmp_path / "fake.log")
    inputs = {"init": base, "problems": workshop.problems(4)}
    job = workshop.job("zero", "grpo", params, inputs, "scratch", Endpoint(server.url, "policy"))
    try:
        with pytest.raises(StageFailed, match="step 2: completion_tokens below 1000 for 2 steps"):
            grpo.train(job)
    finally:
        server.stop()
    assert [p.name for p in job.scratch.glob("state-*")] == ["state-0000002"]
    assert list((job.scratch / "tensorboard").iterdir())
    assert not workshop.lake.exists(f"{job.folder}/_manifest.json")
