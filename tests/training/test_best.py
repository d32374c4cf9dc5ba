"""Of a run that keeps its best weights, those of the best window become the checkpoint, resumed or not."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from r1data.endpoint import Endpoint
from r1data.errors import RecipeError
from r1data.generate.server import Server
from r1data.manifest import Manifest
from r1data.training_params import GrpoParams, KeepParams, OptimizerParams, SupervisedKeep
from training import grpo
from training.best import Best
from training.core import Trainer, load_model, start
from training.job import Job

OPTIMIZER = OptimizerParams(learning_rate=1e-2, warmup_steps=0, micro_batch=4)
KEEP = KeepParams(policy="best", metric="reward", window=2)


@pytest.fixture
def trainer(workshop: Any, base: Manifest, tmp_path: Path) -> Trainer:
    rank, world = start(0)
    return Trainer(
        load_model(AutoModelForCausalLM, workshop.model(base), "float32"), OPTIMIZER, 8, 4, tmp_path, rank, world
    )


def passed(trainer: Trainer, best: Best, *values: float, metric: str = "reward") -> None:
    """Steps with these values of a metric; after each the weights say which step they are of."""
    for value in values:
        with torch.no_grad():
            next(trainer.engine.module.parameters()).fill_(trainer.step + 1.0)
        trainer.end_step({metric: value}, save_every=100)
        best.look()


def first_weight(trainer: Trainer) -> float:
    return float(next(trainer.engine.module.parameters()).detach().flatten()[0])


def test_best_window_is_kept(trainer: Trainer) -> None:
    best = Best(trainer, KEEP)
    passed(trainer, best, 0.1, 0.3, 0.9, 0.5, 0.6, 0.6)
    assert best.counts() == {"best_step": 4}
    best.restore()
    assert first_weight(trainer) == 4.0


def test_equal_window_does_not_replace_an_earlier_one(trainer: Trainer) -> None:
    best = Best(trainer, KEEP)
    passed(trainer, best, 0.5, 0.5, 0.5, 0.5)
    assert best.found == (2, 0.5)


def test_windows_without_the_metric_or_a_number_are_passed_over(trainer: Trainer) -> None:
    best = Best(trainer, KeepParams(policy="best", metric="judge_score", window=2))
    passed(trainer, best, 0.5, 0.5, metric="judge_score")
    passed(trainer, best, 0.9, 0.9)
    passed(trainer, best, float("nan"), 0.9, metric="judge_score")
    assert best.found == (2, 0.5)
    passed(trainer, best, 0.6, 0.6, metric="judge_score")
    assert best.found == (8, 0.6)


@pytest.mark.parametrize("metric", ["rewrad", "tokens_per_second"])
def test_what_is_no_measure_of_learning_is_refused_with_what_is(trainer: Trainer, metric: str) -> None:
    best = Best(trainer, KeepParams(policy="best", metric=metric, window=1))
    with pytest.raises(RecipeError, match=f"{metric}': no measure of what is learnt here\n  remedy: one of reward$"):
        passed(trainer, best, 0.5)


def test_slow_rank_decides_as_rank_0_did(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rank 0 has written the best weights by the time that rank 1 looks: it has to gather them all the same."""
    passed(trainer, Best(trainer, KEEP), 0.5, 0.5)
    gathered = list[int]()
    monkeypatch.setattr(dist, "broadcast_object_list", lambda box: box.__setitem__(0, None))
    monkeypatch.setattr(trainer, "gathered", lambda: gathered.append(1))
    monkeypatch.setattr(trainer, "rank", 1)
    monkeypatch.setattr(trainer, "world", 2)
    slow = Best(trainer, KEEP)
    assert slow.path.exists()
    assert gathered == [1]
    assert slow.found == (2, 0.5)


def test_keeping_the_last_writes_nothing(trainer: Trainer) -> None:
    best = Best(trainer, KeepParams())
    passed(trainer, best, *[0.5] * 8)
    best.restore()
    assert (best.counts(), best.path.exists(), first_weight(trainer)) == ({}, False, 8.0)


def test_of_losses_the_lowest_window_is_the_best(trainer: Trainer) -> None:
    best = Best(trainer, SupervisedKeep(policy="best", metric="loss", window=2))
    passed(trainer, best, 0.9, 0.7, 0.2, 0.4, 0.1, 0.6, 0.3, 0.4, metric="loss")
    assert best.counts() == {"best_step": 4}


def test_a_resumed_run_knows_the_best_so_far(trainer: Trainer) -> None:
    passed(trainer, Best(trainer, KEEP), 0.9, 0.9, 0.1, 0.1)
    again = Best(trainer, KEEP)
    passed(trainer, again, 0.5, 0.5)
    again.restore()
    assert (again.found, first_weight(trainer)) == ((2, 0.9), 2.0)


def test_unknown_metric_says_which_there_are(trainer: Trainer) -> None:
    with pytest.raises(RecipeError, match=r"keep\.metric 'rewrad'") as e:
        passed(trainer, Best(trainer, KEEP.model_copy(update={"metric": "rewrad"})), 0.5, 0.5)
    assert "reward" in e.value.remedy


def test_committed_weights_and_probe_are_those_of_the_best_step(workshop: Any, base: Manifest, server: Server) -> None:
    settings = {
        "optimizer": OPTIMIZER,
        "template": "User: {question} Assistant: ",
        "steps": 4,
        "prompts_per_step": 2,
        "group": 2,
        "max_tokens": 16,
        "save_every": 1,
    }
    inputs = {"init": base, "problems": workshop.problems(4)}

    def job(scratch: str, keep: KeepParams) -> Job:
        params = GrpoParams.model_validate({**settings, "keep": keep})
        made: Job = workshop.job("zero", "grpo", params, inputs, scratch, Endpoint(server.url, "policy"))
        return made

    run = job("best", KEEP.model_copy(update={"metric": "completion_tokens", "window": 1}))
    grpo.train(run)
    manifest = workshop.committed(run)
    metrics = workshop.lake.read_table(f"{run.folder}/metrics.parquet").to_pylist()
    tokens = {m["step"]: m["value"] for m in metrics if m["metric"] == "completion_tokens"}
    assert manifest.counts["best_step"] == max(tokens, key=lambda s: (tokens[s], -s))
    model = AutoModelForCausalLM.from_pretrained(workshop.model(manifest))
    ids, told = manifest.probe["prompts"][0], manifest.probe["logprobs"][0]
    logprobs = torch.log_softmax(model(input_ids=torch.tensor([ids])).logits[0].detach(), -1)
    assert [float(logprobs[i, t]) for i, t in enumerate(ids[1:])] == pytest.approx(told, abs=1e-5)
    last = job("last", KeepParams())
    grpo.train(last)
    different = manifest.counts["best_step"] != 4
    ours = load_file(workshop.lake.path(f"{run.folder}/model.safetensors"))
    theirs = load_file(workshop.lake.path(f"{last.folder}/model.safetensors"))
    assert any(not torch.equal(ours[n], theirs[n]) for n in ours) == different
    shutil.rmtree(run.scratch, ignore_errors=True)
