"""Two ranks train the same model as one, whole or sharded (ZeRO 0 and 3)."""

import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from r1data.refs import move_ref
from r1data.training_params import PretrainParams
from training.job import open_job

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def trained(workshop: Any, recipe: Path, ranks: int) -> dict[str, torch.Tensor]:
    scratch = workshop.folder / f"scratch-{ranks}"
    main = ["training.pretrain", "--recipe", str(recipe), "--node", "base", "--lake", workshop.lake.url]
    torchrun = (
        ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}", "-m", "--"]
        if ranks > 1
        else ["-m"]
    )
    command = [sys.executable, *torchrun, *main, "--scratch", str(scratch)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=280, env=dict(os.environ))
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-3000:]
    told = Namespace(recipe=str(recipe), node="base", lake=workshop.lake.url, key=None, scratch=str(scratch))
    told.engine_url, told.rollouts, told.sync_bucket_mb = None, "in_process", 256
    folder = open_job(told, PretrainParams).folder
    return load_file(workshop.lake.path(f"{folder}/model.safetensors"))


@pytest.mark.parametrize("stage", [0, 3])
def test_two_ranks_equal_one(workshop: Any, corpus: Any, stage: int) -> None:
    smoke = Path(__file__).resolve().parents[2] / "flows" / "recipes" / "smoke.toml"
    recipe = workshop.folder / "ranks.toml"
    asked = f"optimizer = {{ learning_rate = 1e-3, warmup_steps = 2, zero_stage = {stage}, micro_batch = 8 }}"
    text = smoke.read_text(encoding="utf-8").replace("optimizer = { learning_rate = 4e-3, warmup_steps = 2 }", asked, 1)
    recipe.write_text(text.replace("steps = 6", "steps = 6\nbatch = 16", 1), encoding="utf-8")
    move_ref(workshop.lake, "smoke/corpus", workshop.dataset("corpus", "corpus", corpus))
    one, two = trained(workshop, recipe, 1), trained(workshop, recipe, 2)
    assert set(one) == set(two)
    assert max(float((one[n] - two[n]).abs().max()) for n in one) < 1e-4
