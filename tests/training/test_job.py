"""The command line of the training mains: what is wrong is said with its remedy, and the exit status tells."""

import json
import os
import subprocess
import sys
from argparse import Namespace
from typing import Any

import psutil
import pytest

from r1data.child import tied
from r1data.errors import RecipeError, StageFailed
from r1data.events import new_run_id
from r1data.launch import TrainingJob
from r1data.refs import move_ref
from r1data.training_params import PretrainParams, SftParams
from tests.openlineage_schemas import check_event
from tests.running import wait_until
from training.job import TORCHRUN, _arguments, open_job


def arguments(workshop: Any, **changes: Any) -> Namespace:
    told = {"recipe": "smoke", "node": "base", "lake": workshop.lake.url, "key": None, "engine_url": None}
    told |= {"rollouts": "in_process", "sync_bucket_mb": 256, "weights_over": "auto"}
    return Namespace(**{**told, "scratch": str(workshop.folder / "scratch"), "engine_model": None, **changes})


def with_corpus(workshop: Any, rows: Any) -> None:
    move_ref(workshop.lake, "smoke/corpus", workshop.dataset("corpus", "corpus", rows))


def test_inputs_are_the_refs(workshop: Any, corpus: Any) -> None:
    with_corpus(workshop, corpus)
    job = open_job(arguments(workshop), PretrainParams)
    assert job.inputs["corpus"].rows == 16
    assert job.folder == f"data/base/{job.key}"
    assert job.scratch == workshop.folder / "scratch" / "base" / job.key


def test_every_server_and_the_buckets_reach_the_job(
    workshop: Any, corpus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_corpus(workshop, corpus)
    key = open_job(arguments(workshop), PretrainParams).key
    urls, models = ("http://127.0.0.1:1", "http://127.0.0.1:2"), ("policy", "v1")
    place = ("smoke", "base", workshop.lake.url, key, workshop.folder)
    told = TrainingJob("training.pretrain", *place, urls, models, 64, weights_over="gloo")
    monkeypatch.setattr(sys, "argv", told.arguments())
    job = open_job(_arguments(), PretrainParams)
    assert [(e.url, e.model) for e in job.endpoints] == list(zip(urls, models, strict=True))
    assert (job.sync_bucket_mb, job.weights_over) == (64, "gloo")


def test_another_key_is_refused(workshop: Any, corpus: Any) -> None:
    with_corpus(workshop, corpus)
    with pytest.raises(StageFailed, match="asked for key abc"):
        open_job(arguments(workshop, key="abc"), PretrainParams)


def test_node_of_another_program_is_refused(workshop: Any) -> None:
    with pytest.raises(RecipeError, match=r"base: a node of step pretrain(.|\n)*python -m training.pretrain"):
        open_job(arguments(workshop), SftParams)


def run_main(workshop: Any, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [
        sys.executable,
        "-m",
        "training.pretrain",
        "--recipe",
        "smoke",
        "--node",
        "base",
        "--lake",
        workshop.lake.url,
    ]
    command += ["--scratch", str(workshop.folder / "scratch"), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=dict(os.environ))


def test_error_is_told_without_traceback(workshop: Any) -> None:
    run = run_main(workshop)
    assert run.returncode == 1
    assert "error: " in run.stderr
    assert "remedy: " in run.stderr
    assert "Traceback" not in run.stderr


def test_main_trains_and_commits(workshop: Any, corpus: Any) -> None:
    with_corpus(workshop, corpus)
    run_id = new_run_id()
    run = run_main(workshop, "--run-id", run_id, "--parent-run-id", run_id)
    assert run.returncode == 0, run.stderr
    assert "step 6/6 loss" in run.stdout
    job = open_job(arguments(workshop), PretrainParams)
    assert workshop.committed(job).counts["steps"] == 6
    event = json.loads(workshop.lake.read(workshop.lake.names("lineage")[-1]))
    check_event(event)
    assert (event["eventType"], event["run"]["runId"]) == ("COMPLETE", run_id)
    assert event["job"]["facets"]["sourceCodeLocation"]["path"] == "training/pretrain.py"


@pytest.mark.parametrize("begun", [True, False])
def test_a_rank_ends_with_its_torchrun(begun: bool) -> None:
    """torchrun gives each rank a session of its own: killed outright it would leave them, while they import too."""
    code = "import time; from training import job\n"
    code += (
        "job.open_job = lambda *_: print('ready', flush=True) or time.sleep(600)\njob.run(lambda _: None, job.Params)"
    )
    rank = [sys.executable, "-c", code, "--recipe", "smoke", "--node", "base", "--lake", "none"]
    parent = "import subprocess, sys; child = subprocess.Popen(sys.argv[1:], start_new_session=True);"
    parent += "print(child.pid, flush=True); child.wait()"
    command, env = tied([sys.executable, "-c", parent, *rank]), {**os.environ, TORCHRUN: "1"}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as torchrun:
        assert torchrun.stdout is not None
        pid = int(torchrun.stdout.readline())
        if begun:
            assert torchrun.stdout.readline() == "ready\n"
        torchrun.kill()
    wait_until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE, 60)


def test_a_main_ends_without_the_interpreters_own_end() -> None:
    """Threads of gloo that need Python while that ends abort the process; what was registered and said is not lost."""
    program = (
        "import atexit, os\nfrom training.job import end\n"
        "class Late:\n    def __del__(self): os.write(1, b'torn down\\n')\n"
        "late = Late()\natexit.register(print, 'registered', end='')\nprint('said', end=' ')\nend(3)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("said registered", 3), done.stderr
