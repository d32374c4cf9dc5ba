"""Two ranks train the same model as one, whole or sharded (ZeRO 0 and 3); one that is killed costs steps, no more."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from r1data.cluster_params import ClusterParams
from r1data.errors import StageFailed
from r1data.launch import Child, TrainingJob, launch
from r1data.refs import move_ref
from r1data.training_params import PretrainParams
from training import states
from training.job import Job, open_job

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
STEPS = 20


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
    return weights_of(workshop, recipe)


def job_of(workshop: Any, recipe: Path) -> Job:
    told = Namespace(recipe=str(recipe), node="base", lake=workshop.lake.url, key=None, engine_url=None)
    told.scratch, told.rollouts, told.sync_bucket_mb = str(workshop.folder / "killed"), "in_process", 256
    told.weights_over = "auto"
    return open_job(told, PretrainParams)


def weights_of(workshop: Any, recipe: Path) -> dict[str, torch.Tensor]:
    return load_file(workshop.lake.path(f"{job_of(workshop, recipe).folder}/model.safetensors"))


def recipe_of(workshop: Any, corpus: Any, stage: int) -> Path:
    smoke = Path(__file__).resolve().parents[2] / "flows" / "recipes" / "smoke.toml"
    recipe: Path = workshop.folder / "ranks.toml"
    asked = f"optimizer = {{ learning_rate = 1e-3, warmup_steps = 2, zero_stage = {stage}, micro_batch = 8 }}"
    text = smoke.read_text(encoding="utf-8").replace("optimizer = { learning_rate = 4e-3, warmup_steps = 2 }", asked, 1)
    recipe.write_text(
        text.replace("steps = 6\nsave_every = 3", f"steps = {STEPS}\nbatch = 16\nsave_every = 1", 1), encoding="utf-8"
    )
    move_ref(workshop.lake, "smoke/corpus", workshop.dataset("corpus", "corpus", corpus))
    return recipe


def test_two_ranks_equal_one(workshop: Any, corpus: Any) -> None:
    recipe = recipe_of(workshop, corpus, 0)
    one, two = trained(workshop, recipe, 1), trained(workshop, recipe, 2)
    assert set(one) == set(two)
    assert max(float((one[n] - two[n]).abs().max()) for n in one) < 1e-4


def kill_a_rank(children: set[Child], scratch: Path) -> None:
    """As if its memory had run out: kill -9 for the second rank, once the second state is saved."""
    while not (scratch / "state-0000002").is_dir():
        time.sleep(0.002)
    (torchrun,) = children
    ranks = psutil.Process(torchrun.pid).children()
    next(r for r in ranks if r.environ().get("RANK") == "1").send_signal(signal.SIGKILL)


def test_a_killed_rank_ends_the_stage_and_the_rerun_ends_equal(workshop: Any, corpus: Any) -> None:
    recipe = recipe_of(workshop, corpus, 3)
    one, two = trained(workshop, recipe, 1), trained(workshop, recipe, 2)
    assert max(float((one[n] - two[n]).abs().max()) for n in one) < 1e-4
    job, lines, children = job_of(workshop, recipe), list[str](), set[Child]()
    shutil.rmtree(workshop.lake.path(job.folder))
    told = TrainingJob("training.pretrain", str(recipe), "base", workshop.lake.url, job.key, workshop.folder / "killed")
    killer = threading.Thread(target=kill_a_rank, args=(children, job.scratch), daemon=True)
    killer.start()
    with pytest.raises(StageFailed, match=r"base: training\.pretrain failed[\s\S]*SIGKILL[\s\S]*run again: it resumes"):
        launch(told, sys.executable, ClusterParams(ranks=2), lines.append, children)
    killer.join()
    assert not workshop.lake.exists(f"{job.folder}/_manifest.json")
    last = states.last_whole(job.scratch)
    assert last is not None
    assert last.name < f"state-{STEPS:07d}", "it was killed before the end"
    launch(told, sys.executable, ClusterParams(ranks=2), lines.append)
    assert f"resumed at step {int(last.name[-7:])}" in lines
    again = weights_of(workshop, recipe)
    assert all(torch.equal(again[n], two[n]) for n in two)
