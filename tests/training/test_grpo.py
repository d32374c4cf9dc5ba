"""GRPO against the deterministic fake engine over HTTP: committed, replayed, and refused when weights are stale."""

import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from r1data.endpoint import Endpoint
from r1data.errors import EndpointError, ModelError, StageFailed, StorageError
from r1data.generate.server import Server
from r1data.manifest import Manifest
from tests.training.grpo_jobs import OPTIMIZER, PARAMS, job, policy_step, samples_of, update, weights_after
from training import grpo
from training.job import Job


def test_run_is_committed_with_metrics_and_rollouts(workshop: Any, base: Manifest, server: Server) -> None:
    run = job(workshop, base, server)
    grpo.train(run)
    metrics = pl.DataFrame(workshop.lake.read_table(f"{run.folder}/metrics.parquet"))
    rollouts = pl.DataFrame(workshop.lake.read_table(f"{run.folder}/rollouts.parquet"))
    assert {"reward", "accuracy", "format", "kl", "clip", "grad_norm", "reward_format"} <= set(metrics["metric"])
    assert metrics["step"].max() == 3
    assert rollouts.height == 3 * 2 * 4
    sums = rollouts.group_by("step", "problem_id").agg(pl.col("advantage").sum())["advantage"]
    assert sums.to_list() == pytest.approx([0.0] * 6, abs=1e-5)


def test_only_the_prompts_of_its_input_are_asked(workshop: Any, base: Manifest, server: Server) -> None:
    usual = job(workshop, base, server, prompts="mixed")
    columns = {"problem_id": ["p001", "p002"], "pass_rate": [0.5, None]}
    frame = pl.DataFrame(columns).with_columns(asked=2, decided=2, correct=1)
    inputs = {**usual.inputs, "prompts": workshop.dataset("prompts", "rl_prompts", frame)}
    run: Job = workshop.job("zero", "grpo", usual.node.params, inputs, "scratch", *usual.endpoints)
    grpo.train(run)
    rollouts = pl.DataFrame(workshop.lake.read_table(f"{run.folder}/rollouts.parquet"))
    assert set(rollouts["problem_id"]) == {"p001", "p002"}


def test_recorded_rollouts_are_replayed_and_not_asked_again(workshop: Any, base: Manifest, server: Server) -> None:
    whole = job(workshop, base, server)
    in_the_way = Path(workshop.lake.path("data/zero"))
    in_the_way.write_text("no folder, so the commit fails")
    with pytest.raises(StorageError):
        grpo.train(whole)
    in_the_way.unlink()
    for state in whole.scratch.glob("state-*"):
        shutil.rmtree(state)
    gone = workshop.job("zero", "grpo", PARAMS, whole.inputs, "scratch", Endpoint("http://127.0.0.1:9", "policy"))
    grpo.train(gone)
    replayed = workshop.committed(gone).digest
    grpo.train(job(workshop, base, server))
    assert workshop.committed(gone).digest == replayed


@pytest.mark.filterwarnings("ignore:`torch.distributed:FutureWarning")  # DeepSpeed's, under ZeRO-3
def test_sharded_run_is_resumed_exactly_and_ends_as_the_whole_one(
    workshop: Any, base: Manifest, server: Server
) -> None:
    sharded = job(workshop, base, server, optimizer=OPTIMIZER.model_copy(update={"zero_stage": 3}))
    in_the_way = Path(workshop.lake.path("data/zero"))
    in_the_way.write_text("no folder, so the commit fails")
    with pytest.raises(StorageError):
        grpo.train(sharded)
    in_the_way.unlink()
    shutil.rmtree(sharded.scratch / "state-0000003")
    assert (sharded.scratch / "state-0000002" / "extra-00000.pt").is_file(), "the reference was replaced by then"
    grpo.train(sharded)
    resumed = workshop.committed(sharded).digest
    sharded.scratch.mkdir(parents=True)
    grpo.train(sharded)
    assert workshop.committed(sharded).digest == resumed
    whole = job(workshop, base, server)
    grpo.train(whole)
    made = [load_file(workshop.lake.path(f"{run.folder}/model.safetensors")) for run in (sharded, whole)]
    assert max(float((made[0][n] - made[1][n]).abs().max()) for n in made[1]) < 1e-4


def test_server_that_goes_away_loses_nothing(workshop: Any, base: Manifest, server: Server) -> None:
    run = job(workshop, base, None)
    gone = workshop.job("zero", "grpo", PARAMS, run.inputs, "scratch", Endpoint("http://127.0.0.1:9", "policy"))
    with pytest.raises(EndpointError):
        grpo.train(gone)
    grpo.train(job(workshop, base, server))
    assert workshop.committed(run).counts["steps"] == 3


def test_all_undecided_is_a_clear_error(workshop: Any, base: Manifest, server: Server) -> None:
    run = job(workshop, base, server)
    rows = pl.DataFrame(workshop.lake.read_table(run.inputs["problems"].shards[0].path)).with_columns(
        answer=pl.lit(None)
    )
    unknown = workshop.dataset("unknown", "problems", rows.with_columns(answer=pl.lit(None, pl.String)))
    failing = workshop.job("zero", "grpo", PARAMS, {**run.inputs, "problems": unknown}, "scratch", *run.endpoints)
    with pytest.raises(StageFailed, match="every sample is undecided"):
        grpo.train(failing)


def test_stale_weights_are_noticed_before_any_update(workshop: Any, base: Manifest, tmp_path: Path) -> None:
    step = policy_step(workshop, base, tmp_path, samples_of(workshop, base, 8, 0.5))
    with pytest.raises(ModelError, match="stale weights"):
        update(step)
    assert step.trainer.engine.global_steps == 0


def test_engine_log_probs_of_the_same_weights_change_nothing(workshop: Any, base: Manifest, tmp_path: Path) -> None:
    for updates in (1, 2):
        given = policy_step(workshop, base, tmp_path, samples_of(workshop, base, 8, 0.0), updates_per_rollout=updates)
        none = policy_step(workshop, base, tmp_path, samples_of(workshop, base, 8, None), updates_per_rollout=updates)
        assert torch.allclose(weights_after(given), weights_after(none), atol=1e-5)


@pytest.mark.parametrize("aggregation", ["token", "sequence", "group"])
def test_micro_batches_do_not_change_the_update(
    workshop: Any, base: Manifest, tmp_path: Path, aggregation: str
) -> None:
    made = [
        weights_after(
            policy_step(
                workshop,
                base,
                tmp_path,
                samples_of(workshop, base, 8, None),
                aggregation=aggregation,
                optimizer=OPTIMIZER.model_copy(update={"micro_batch": micro}),
            )
        )
        for micro in (2, 8)
    ]
    assert torch.allclose(made[0], made[1], atol=1e-5)


def test_second_update_is_against_the_first_weights(workshop: Any, base: Manifest, tmp_path: Path) -> None:
    fast = OPTIMIZER.model_copy(update={"learning_rate": 0.05})
    step = policy_step(
        workshop, base, tmp_path, samples_of(workshop, base, 8, None), updates_per_rollout=2, optimizer=fast
    )
    assert update(step)["clip"] > 0
