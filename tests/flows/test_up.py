"""`make up` and `make down` as a person types them: all runs, a second one changes nothing, nothing is left running."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.ops import postgres
from flows.ops.processes import marked, running
from flows.ops.up import State
from tests.prefect_server import get, post
from tests.running import environment

RUN_S = 240.0


@pytest.fixture
def folder() -> Iterator[Path]:
    """A place that the user `nobody` can reach too, for PostgreSQL where root runs the tests."""
    with tempfile.TemporaryDirectory(prefix="r1-up-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def _ops(command: str, folder: Path, port: int) -> str:
    told = {"R1_UP": str(folder / "up"), "R1_UI_PORT": str(port), "R1_LAKE": str(folder / "lake")}
    env = environment(folder / "scratch", told)
    run = subprocess.run(
        [sys.executable, "-m", "flows.ops", command], env=env, capture_output=True, text=True, timeout=400
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def _state(folder: Path) -> State:
    return State.model_validate_json((folder / "up" / "state.json").read_bytes())


def _ended(api: str, run: str) -> dict[str, Any]:
    end = time.monotonic() + RUN_S
    while time.monotonic() < end:
        state: dict[str, Any] = get(f"{api}/flow_runs/{run}")["state"]
        if state["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
            return state
        time.sleep(1)
    pytest.fail(f"the run has not ended after {RUN_S:.0f} s: {state}")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_up_runs_a_deployment_and_down_leaves_no_process(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        busy = taken.getsockname()[1]
        try:
            told = _ops("up", folder, busy)
            assert f"port {busy} is taken" in told
            state = _state(folder)
            api = f"http://127.0.0.1:{state.port}/api"
            assert f"interface  http://127.0.0.1:{state.port}\n" in told
            names = {p.name for p in state.processes}
            programs = postgres.binaries()
            has_postgres = programs is not None and not postgres.unreachable(folder / "up" / "postgres", programs)
            assert names == {"server", "worker-cpu", "worker-gpu", "reaper"} | ({"postgres"} if has_postgres else set())
            assert has_postgres != ("WARNING" in told)
            assert get(f"http://127.0.0.1:{state.port}/ui-settings")["api_url"] == api
            (plan,) = [d for d in post(f"{api}/deployments/filter", {}) if d["name"] == "plan"]
            run = post(f"{api}/deployments/{plan['id']}/create_flow_run", {"parameters": {"recipe": "smoke"}})
            ended = _ended(api, run["id"])
            assert ended["type"] == "COMPLETED", ended
            assert ended["message"].endswith(" nodes to run")
            assert "started" not in _ops("up", folder, busy)
            assert _state(folder).processes == state.processes, "a second one starts nothing"
        finally:
            _ops("down", folder, busy)
    assert [p.name for p in state.processes if running(p)] == []
    assert marked(state.mark) == []
    assert _state(folder).processes == ()
    kept = folder / "up" / ("postgres/data/PG_VERSION" if has_postgres else "prefect.db")
    assert kept.exists(), "the database stays"
    assert "nothing is up" in _ops("down", folder, busy)


def test_a_process_of_the_same_number_is_another(tmp_path: Path) -> None:
    """After a restart of the machine an id in the state may belong to anybody."""
    mine = {"name": "server", "pid": os.getpid(), "started": 1.0, "log": str(tmp_path / "log")}
    state = State.model_validate_json(json.dumps({"mark": "m", "processes": [mine]}))
    assert running(state.processes[0]) is None
