"""GRPO against the deterministic fake engine over HTTP: committed, replayed, and refused when weights are stale."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from transformers import AutoModelForCausalLM

from r1data.endpoint import Endpoint
from r1data.errors import EndpointError, ModelError, StageFailed, StorageError
from r1data.generate.server import Server, start_server
from r1data.manifest import Manifest
from r1data.training_params import GrpoParams, OptimizerParams
from training import grpo
from training.core import Trainer, load_model, start
from training.job import Job
from training.policy import PolicyStep
from training.reference import Reference
from training.rollout import Sample

OPTIMIZER = OptimizerParams(learning_rate=1e-3, warmup_steps=0, micro_batch=4)
PARAMS = GrpoParams.model_validate(
    {
        "optimizer": OPTIMIZER,
        "template": "User: {question} Assistant: ",
        "steps": 3,
        "prompts_per_step": 2,
        "group": 4,
        "updates_per_rollout": 2,
        "max_tokens": 24,
        "reference_every": 2,
        "save_every": 1,
    }
)


@pytest.fixture
def server(workshop: Any, base: Manifest, tmp_path: Path) -> Iterator[Server]:
    found = start_server(workshop.model(base), "fake", sys.executable, tmp_path / "fake.log")
    yield found
    found.stop()


def job(workshop: Any, base: Manifest, server: Server | None, **changes: Any) -> Job:
    inputs = {"init": base, "problems": workshop.problems(4)}
    endpoint = Endpoint(server.url, "policy") if server else None
    made: Job = workshop.job("zero", "grpo", PARAMS.model_copy(update=changes), inputs, "scratch", endpoint)
    return made


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
    run: Job = workshop.job("zero", "grpo", usual.node.params, inputs, "scratch", usual.endpoint)
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
    failing = workshop.job("zero", "grpo", PARAMS, {**run.inputs, "problems": unknown}, "scratch", run.endpoint)
    with pytest.raises(StageFailed, match="every sample is undecided"):
        grpo.train(failing)


def policy_step(workshop: Any, base: Manifest, folder: Path, samples: list[Sample], **changes: Any) -> PolicyStep:
    params = PARAMS.model_copy(update={"updates_per_rollout": 1, **changes})
    rank, world = start(0)
    model = load_model(AutoModelForCausalLM, workshop.model(base), "float32")
    batch = len(samples) // params.updates_per_rollout
    trainer = Trainer(model, params.optimizer, 4, batch, folder, rank, world, params.updates_per_rollout)
    reference = Reference(workshop.model(base), params, trainer.device)
    advantage = torch.tensor([1.0, -1.0] * (len(samples) // 2))
    return PolicyStep(params, trainer, reference, [[10, 11, 12], [13, 14]], samples, advantage)


def samples_of(workshop: Any, base: Manifest, count: int, shift: float | None) -> list[Sample]:
    """Completions of fixed tokens with the model's own log-probs, shifted; without log-probs for None."""
    model = load_model(AutoModelForCausalLM, workshop.model(base), "float32")
    made = []
    for i in range(count):
        head, ids = [[10, 11, 12], [13, 14]][i % 2], [*[20 + i, 30, 21][: 1 + i % 3], 1]
        logprobs = model(input_ids=torch.tensor([head + ids])).logits[0].detach().log_softmax(-1)
        own = [float(logprobs[len(head) - 1 + k, t]) + (shift or 0.0) for k, t in enumerate(ids)]
        made.append(Sample(i % 2, i, i, "", ids, own if shift is not None else [], "stop", 1.0))
    return made


def weights_after(step: PolicyStep) -> torch.Tensor:
    step.update(0)
    return torch.cat([w.flatten() for _, w in step.trainer.named_weights()])


def test_stale_weights_are_noticed_before_any_update(workshop: Any, base: Manifest, tmp_path: Path) -> None:
    step = policy_step(workshop, base, tmp_path, samples_of(workshop, base, 8, 0.5))
    with pytest.raises(ModelError, match="stale weights"):
        step.update(0)
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
    assert step.update(0)["clip"] > 0
