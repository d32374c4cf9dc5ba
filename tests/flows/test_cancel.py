"""Cancelling runs of a real worker by the API: the server that samples and the ranks of a training end with them."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from benchmarks.stand_in import character_tokenizer
from flows.ops.processes import MARK, end, marked
from r1data.lineage import commit
from r1data.manifest import FileEntry, Manifest
from r1data.recipe import recipe_path
from r1data.refs import move_ref
from r1data.storage import Lake
from tests.prefect_server import get, post
from tests.running import environment

ROOT = Path(__file__).resolve().parents[2]
WITHIN_S = 20.0
BUSY_S = 40.0  # on top, where others want the cores too: the run itself tells the API what it ended
DEADLINE_S = 300.0
SLOWLY = """
[keep]
base = "@given/zero"
student_base = "@given/zero"
zero = "@given/zero"

[cluster.engine]
arguments = ["--token-ms", "3000"]
"""


def _deployed(api: str) -> str:
    """The deployment of single stages in a pool of its own, as `prefect deploy` would make it, in a second."""
    post(f"{api}/work_pools/", {"name": "own", "type": "process"})
    flow = post(f"{api}/flows/", {"name": "stage"})
    told = {"name": "stage", "flow_id": flow["id"], "entrypoint": "flows/stage.py:stage", "work_pool_name": "own"}
    pull = [{"prefect.deployments.steps.set_working_directory": {"directory": str(ROOT)}}]
    return str(post(f"{api}/deployments/", {**told, "pull_steps": pull})["id"])


@contextmanager
def _worker(api: str, folder: Path) -> Iterator[psutil.Process]:
    """A worker as `make up` starts it; its mark is in the environment of all that it starts."""
    own = {"PREFECT_API_URL": api, "PREFECT_HOME": str(folder / "own"), MARK: f"cancel-{os.getpid()}"}
    (folder / "own").mkdir()
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "own", "--type", "process"]
    env = environment(folder / "scratch", {**own, "PREFECT_WORKER_QUERY_SECONDS": "5", "PYTHONPATH": str(ROOT)})
    with (folder / "worker.log").open("wb") as log:
        worker = subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        yield psutil.Process(worker.pid)
    finally:
        end(marked(own[MARK]))
        worker.wait(30)


def _given(lake: Lake) -> None:
    """A checkpoint for the fake engine, which needs its tokenizer alone."""
    folder = Path(lake.path("data/zero/given"))
    folder.mkdir(parents=True)
    character_tokenizer().save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"")
    names = [f"data/zero/given/{p.name}" for p in sorted(folder.iterdir())]
    files = tuple(FileEntry(path=n, bytes=0, sha256=lake.sha256(n)) for n in names)
    told = {"kind": "checkpoint", "name": "given/zero", "path": "data/zero/given", "key": "given", "step": "grpo"}
    move_ref(
        lake,
        "given/zero",
        commit(lake, Manifest.model_validate({**told, "version": "1", "digest": "d", "files": files})),
    )


def _recipes(folder: Path) -> tuple[Path, Path]:
    """One that samples for hours, one whose base is trained for hours by two ranks."""
    text = recipe_path("smoke").read_text()
    samples, trains = folder / "samples.toml", folder / "trains.toml"
    samples.write_text(text.replace("[cluster]\n", f"{SLOWLY}\n[cluster]\n"))
    trains.write_text(text.replace("\nsteps = 6\n", "\nsteps = 1000000\n") + "ranks = 2\n")
    return samples, trains


def _below(worker: psutil.Process, *words: str) -> list[psutil.Process]:
    """Descendants of the worker with all of these words in their command lines."""
    found = []
    for process in worker.children(recursive=True):
        with suppress(psutil.Error):
            if all(word in " ".join(process.cmdline()) for word in words):
                found.append(process)
    return found


def _until(holds: Callable[[], bool], what: str, log: Path) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not so after {DEADLINE_S:.0f} s\n{log.read_text()[-3000:]}"
        time.sleep(0.5)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_a_cancelled_run_started_ends_with_it(prefect_server: tuple[str, Path], tmp_path: Path) -> None:
    api, _ = prefect_server
    samples, trains = _recipes(tmp_path)
    lake, log = Lake.open(str(tmp_path / "lake")), tmp_path / "worker.log"
    _given(lake)
    deployment = _deployed(api)

    def begin(stage: str, recipe: Path) -> str:
        parameters = {"stage": stage, "recipe": str(recipe), "lake": lake.url}
        return str(post(f"{api}/deployments/{deployment}/create_flow_run", {"parameters": parameters})["id"])

    with _worker(api, tmp_path) as worker:
        sampling, training = begin("cold_start", samples), begin("foundations", trains)
        _until(lambda: "base: step" in log.read_text(), "two ranks train", log)
        _until(lambda: bool(_below(worker, "fake_server", "--token-ms")), "a server answers", log)
        _until(lambda: bool(lake.names("leases/calls")), "the server is asked", log)
        assert len(_below(worker, "training.pretrain", "--node base")) >= 3, "torchrun and its ranks"
        everything = worker.children(recursive=True)
        begun = time.monotonic()
        for run in (sampling, training):
            post(f"{api}/flow_runs/{run}/set_state", {"state": {"type": "CANCELLING", "name": "Cancelling"}})
        within = WITHIN_S + (BUSY_S if os.getloadavg()[0] > (os.cpu_count() or 1) else 0)
        _, alive = psutil.wait_procs(everything, timeout=within)
        print(f"all ended after {time.monotonic() - begun:.1f} s")  # shown by `pytest -s`
        told = f"alive after {within:.0f} s: {[_line(p) for p in alive]}"
        assert alive == [], f"{told}\n{log.read_text()[-3000:]}"
        left = {p.pid for p in marked(f"cancel-{os.getpid()}")} - {worker.pid}
        assert left == set(), "nothing that lost its parent either"
        for run in (sampling, training):
            _until(lambda run=run: _state(api, run) == "CANCELLED", "the server knows", log)  # type: ignore[misc]


def _state(api: str, run: str) -> str:
    return str(get(f"{api}/flow_runs/{run}")["state"]["type"])


def _line(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return " ".join(process.cmdline())[:120]
    return "gone"
