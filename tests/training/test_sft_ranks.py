"""SFT on one rank, on two, and sharded (ZeRO 0 to 3), padded or packed: the same losses and the same weights."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from r1data.manifest import Manifest
from r1data.training_params import OptimizerParams, SftParams, SupervisedKeep

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
LOSS, WEIGHTS = 1e-5, 1e-5  # seen: 1e-6 and 6e-7
ROUGH_LOSS, ROUGH_WEIGHTS = 0.005, 0.02  # of bf16; seen: 0.0012
NORM, ROUGH_NORM = 1e-4, 0.05
LENGTH = 64
LAST, STEEPEST = SupervisedKeep(), SupervisedKeep(policy="best", metric="grad_norm", window=2)


def told(stage: int, packed: bool, dtype: str = "float32", keep: SupervisedKeep = LAST) -> SftParams:
    memory: dict[str, Any] = {"gradient_checkpointing": True, "loss_chunk": 16} if packed else {}
    rates: dict[str, Any] = {
        "learning_rate": 1e-3,
        "warmup_steps": 2,
        "micro_batch": 4,
        "zero_stage": stage,
        "dtype": dtype,
    }
    optimizer = OptimizerParams(**rates, **memory)
    pack: dict[str, Any] = {"pack_tokens": 2 * LENGTH} if packed else {}
    return SftParams(optimizer=optimizer, epochs=2, batch=8, max_length=LENGTH, save_every=100, keep=keep, **pack)


def trained(
    workshop: Any, base: Manifest, examples: Manifest, ranks: int, asked: list[SftParams]
) -> list[tuple[list[float], list[float], dict[str, torch.Tensor]]]:
    """(losses, norms of the gradient, weights) of each."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}"] if ranks > 1 else []
    main = [str(ROOT / "tests" / "training" / "sft_on_ranks.py"), workshop.lake.url, base.path, examples.path]
    command = [sys.executable, *torchrun, *main, str(workshop.folder / f"scratch-{ranks}")]
    told = [p.model_dump_json() for p in asked]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run([*command, *told], capture_output=True, text=True, timeout=800, env=environment)
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-3000:]
    found = []
    for params in asked:
        folder = workshop.job("dev", "sft", params, {"init": base, "examples": examples}).folder
        metrics = pl.read_parquet(workshop.lake.path(f"{folder}/metrics.parquet")).sort("step")
        told_of = {n: metrics.filter(pl.col("metric") == n)["value"].to_list() for n in ("loss", "grad_norm")}
        found.append(
            (told_of["loss"], told_of["grad_norm"], load_file(workshop.lake.path(f"{folder}/model.safetensors")))
        )
    return found


def test_ranks_stages_and_packing_change_nothing(workshop: Any, base: Manifest) -> None:
    examples = workshop.examples(32)
    (losses, norms, weights), *_ = trained(workshop, base, examples, 1, [told(0, packed=False)])
    assert len(losses) == 8
    assert losses[-1] < losses[0]
    alone = [told(0, packed=True), told(3, packed=True)]
    several = [told(stage, packed) for stage, packed in ((0, True), (1, False), (2, False), (2, True), (3, True))]
    several += [told(stage, True, "bfloat16") for stage in (0, 2, 3)]
    for ranks, asked in ((1, alone), (2, several)):
        for params, (found, steep, made) in zip(asked, trained(workshop, base, examples, ranks, asked), strict=True):
            rough = params.optimizer.dtype == "bfloat16"
            gap = max(abs(a - b) for a, b in zip(found, losses, strict=True))
            tilt = max(abs(a / b - 1) for a, b in zip(steep, norms, strict=True))
            apart = max(float((made[n].float() - weights[n]).abs().max()) for n in weights)
            assert gap < (ROUGH_LOSS if rough else LOSS)
            assert tilt < (ROUGH_NORM if rough else NORM)
            assert apart < (ROUGH_WEIGHTS if rough else WEIGHTS)


def test_best_weights_are_the_same_ones_sharded(workshop: Any, base: Manifest) -> None:
    examples = workshop.examples(32)
    whole, sharded = told(0, packed=False, keep=STEEPEST), told(3, packed=False, keep=STEEPEST)
    ((_, norms, expected),) = trained(workshop, base, examples, 1, [whole])
    ((_, _, found),) = trained(workshop, base, examples, 2, [sharded])
    rows = [sum(norms[i : i + 2]) for i in range(0, 8, 2)]
    assert rows.index(max(rows)) < 3, "the last weights would do, too"
    assert max(float((found[n] - expected[n]).abs().max()) for n in expected) < WEIGHTS
