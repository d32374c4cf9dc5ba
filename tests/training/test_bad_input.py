"""Weights that are not those of their config, full disks: told, and nothing is lost. Groups with nothing to learn."""

import math
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from r1data.errors import ModelError, StorageError
from r1data.manifest import Manifest
from r1data.training_params import KeepParams, OptimizerParams, SftParams
from tests.training.grpo_jobs import policy_step, samples_of, weights_after
from training import checkpoint, sft, states
from training.best import Best
from training.core import Trainer, load_model, start
from training.job import Job

Weights = dict[str, torch.Tensor]
NORM = "model.norm.weight"
SFT = SftParams(
    optimizer=OptimizerParams(learning_rate=1e-2, warmup_steps=1, micro_batch=4),
    epochs=1,
    batch=4,
    max_length=64,
    save_every=2,
)


def missing(weights: Weights) -> str:
    del weights[NORM]
    return rf"{NORM} \(32,\) is missing"


def of_another_shape(weights: Weights) -> str:
    weights[NORM] = torch.ones(33)
    return rf"{NORM} has the shape \(33,\), the config says \(32,\)"


def of_more_layers(weights: Weights) -> str:
    weights["model.layers.1.mlp.up_proj.weight"] = torch.ones(32, 32)
    return r"model\.layers\.1\.mlp\.up_proj\.weight is no tensor of this config"


def sft_job(workshop: Any, base: Manifest, scratch: str = "scratch") -> Job:
    made: Job = workshop.job("dev", "sft", SFT, {"init": base, "examples": workshop.examples(16)}, scratch)
    return made


@pytest.mark.parametrize("change", [missing, of_another_shape, of_more_layers])
def test_weights_that_do_not_match_the_config_are_named(
    workshop: Any, base: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Any
) -> None:
    folder = Path(shutil.copytree(workshop.model(base), tmp_path / "other"))
    weights = load_file(folder / "model.safetensors")
    told = change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    monkeypatch.setattr(Job, "model_folder", lambda *_: folder)
    job = sft_job(workshop, base)
    with pytest.raises(ModelError, match=told):
        sft.train(job)
    assert not list(job.scratch.iterdir()), "no step was taken"
    with pytest.raises(ModelError, match=told):
        load_model(AutoModelForSequenceClassification, folder, "float32", num_labels=1)


def test_a_missing_shard_is_named(workshop: Any, base: Manifest, tmp_path: Path) -> None:
    model = load_model(AutoModelForCausalLM, workshop.model(base), "float32")
    folder = Path(shutil.copytree(workshop.model(base), tmp_path / "other"))
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="10KB")
    assert load_model(AutoModelForCausalLM, folder, "float32") is not None
    gone = sorted(folder.glob("*.safetensors"))[1]
    gone.unlink()
    with pytest.raises(ModelError, match=gone.name):
        load_model(AutoModelForCausalLM, folder, "float32")


@contextmanager
def little_space() -> Iterator[None]:
    """No file may have more than 1,000 bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_no_space_for_the_best_weights_leaves_the_ones_before(workshop: Any, base: Manifest, tmp_path: Path) -> None:
    rank, world = start(0)
    model = load_model(AutoModelForCausalLM, workshop.model(base), "float32")
    trainer = Trainer(model, SFT.optimizer, 8, 4, tmp_path, rank, world)
    best = Best(trainer, KeepParams(policy="best", window=1))
    trainer.metrics.append({"step": 1, "reward": 0.1})
    trainer.step = 1
    best.look()
    before = best.path.read_bytes()
    trainer.metrics.append({"step": 2, "reward": 0.5})
    trainer.step = 2
    with little_space(), pytest.raises(StorageError, match="the best weights could not be kept"):
        best.look()
    assert best.path.read_bytes() == before
    best.look()
    assert best.found == (2, 0.5)


def test_no_space_for_the_checkpoint_leaves_the_last_state(
    workshop: Any, base: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, whole = sft_job(workshop, base), sft_job(workshop, base, "whole")
    sft.train(whole)
    expected = workshop.committed(whole).digest
    workshop.lake.delete(f"{whole.folder}/_manifest.json")
    export = checkpoint._export

    def without_space(*told: Any) -> Any:
        with little_space():
            return export(*told)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "_export", without_space)
        with pytest.raises(StorageError, match="the checkpoint could not be exported"):
            sft.train(job)
    assert not workshop.lake.exists(f"{job.folder}/_manifest.json")
    kept = states.last_whole(job.scratch)
    assert kept is not None
    assert kept.name == "state-0000004"
    sft.train(job)
    assert workshop.committed(job).digest == expected


def test_undecided_group_teaches_nothing(workshop: Any, base: Manifest, tmp_path: Path) -> None:
    """Whatever its completions are, the update is that of the other group, finite."""
    made = []
    for shift in (0, 1):
        samples = samples_of(workshop, base, 8, None)
        for s in (s for s in samples if s.ask == 0):
            s.reward, s.token_ids = None, [t + shift for t in s.token_ids]
        made.append(weights_after(policy_step(workshop, base, tmp_path, samples)))
    assert torch.equal(*made)
    assert made[0].isfinite().all()
    decided = weights_after(policy_step(workshop, base, tmp_path, samples_of(workshop, base, 8, None)))
    assert not torch.equal(made[0], decided)


@pytest.mark.parametrize("aggregation", ["token", "sequence", "group", "constant"])
def test_group_of_empty_completions_is_no_division_by_zero(
    workshop: Any, base: Manifest, tmp_path: Path, aggregation: str
) -> None:
    samples = samples_of(workshop, base, 8, None)
    for s in (s for s in samples if s.ask == 0):
        s.token_ids = []
    step = policy_step(workshop, base, tmp_path, samples, aggregation=aggregation)
    told = step.update(0, torch.tensor([1.0, -1.0] * 4))
    assert all(math.isfinite(v) for v in told.values())
    assert told["grad_norm"] > 0
