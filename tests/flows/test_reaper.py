"""The reaper on a real server: silent runs crash and are run again, at most twice; who waits or lives is left alone."""

import asyncio
import datetime as dt
import subprocess
import sys
import time
from pathlib import Path

import pytest
from prefect.client.orchestration import PrefectClient

from flows.ops.reaper import reap
from r1data.events import Note, Run, new_run_id, note_file
from r1data.storage import Lake
from tests.prefect_server import get, post
from tests.running import environment


def _deployment(api: str, name: str, tags: list[str]) -> str:
    flow = post(f"{api}/flows/", {"name": "some"})
    return str(post(f"{api}/deployments/", {"name": name, "flow_id": flow["id"], "tags": tags})["id"])


def _run(api: str, deployment: str, *states: str) -> str:
    run = post(f"{api}/deployments/{deployment}/create_flow_run", {"state": {"type": "PENDING"}})
    for state in states:
        post(f"{api}/flow_runs/{run['id']}/set_state", {"state": {"type": state}, "force": True})
    return str(run["id"])


def _state(api: str, run: str) -> tuple[str, str]:
    state = get(f"{api}/flow_runs/{run}")["state"]
    return state["type"], state["name"]


def _reap(api: str, silent_s: float, told: list[str] | None = None, pending_s: float = 600) -> list[str]:
    said: list[str] = []
    news = [] if told is None else told

    async def once() -> None:
        async with PrefectClient(api) as client:
            await reap(client, silent_s, said.append, lambda *line: news.append(": ".join(line)), pending_s)

    asyncio.run(once())
    return said


@pytest.mark.slow
def test_silent_runs_crash_and_are_run_again_twice(prefect_server: tuple[str, Path]) -> None:
    api, _ = prefect_server
    again, never = _deployment(api, "again", ["rerun"]), _deployment(api, "never", [])
    lost, other = _run(api, again, "RUNNING"), _run(api, never, "RUNNING")
    waits, ended = _run(api, again, "RUNNING", "PAUSED"), _run(api, again, "RUNNING", "COMPLETED")
    assert _reap(api, silent_s=60) == [], "they began a moment ago"
    news: list[str] = []
    said = "\n".join(_reap(api, silent_s=0, told=news))
    assert len(news) == 2, "a message each"
    (again_told,), (never_told,) = ([line for line in news if run in line] for run in (lost, other))
    assert "\nrun again after a crash, attempt 2 of 3\n" in again_told
    assert "\nnot run again\n" in never_told
    assert f"{lost}): no heartbeat for" in said
    assert f"{lost}): run again after a crash, attempt 2 of 3" in said
    assert _state(api, lost) == ("SCHEDULED", "AwaitingRetry")
    message = get(f"{api}/flow_runs/{lost}")["state"]["message"]
    assert message.startswith("run again after a crash, attempt 2 of 3; the crash: no heartbeat for ")
    assert _state(api, other) == ("CRASHED", "Crashed"), "its deployment does not say `rerun`"
    assert _state(api, waits)[0] == "PAUSED", "it waits for a person"
    assert _state(api, ended)[0] == "COMPLETED"
    for attempt in (2, 3):
        post(f"{api}/flow_runs/{lost}/set_state", {"state": {"type": "PENDING"}, "force": True})
        post(f"{api}/flow_runs/{lost}/set_state", {"state": {"type": "RUNNING"}, "force": True})
        assert get(f"{api}/flow_runs/{lost}")["run_count"] == attempt
        _reap(api, silent_s=0)
    assert _state(api, lost) == ("CRASHED", "Crashed"), "three attempts are enough"


@pytest.mark.slow
def test_a_person_and_the_lineage_are_told(
    prefect_server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `make up` runs it, in a process of its own that knows the server and the lake by its environment."""
    api, _ = prefect_server
    lost, lake = _run(api, _deployment(api, "again", ["rerun"]), "RUNNING"), Lake.open(str(tmp_path / "lake"))
    run = Run("tiny/zero", new_run_id(), lost)
    elsewhere: dict[str, str | int] = {"host": "far/away", "pid": 1, "process_started": "1"}
    note = Note(run=run, folder="data/zero/none", started=time.time(), inputs=(), process=elsewhere)
    lake.write(note_file(run.id), note.model_dump_json().encode())
    code = "import asyncio; from prefect.client.orchestration import get_client; from flows.ops.reaper import reap\n"
    code += (
        "async def once():\n    async with get_client() as client:\n        await reap(client, 0)\nasyncio.run(once())"
    )
    told = {"PREFECT_API_URL": api, "PREFECT_HOME": str(tmp_path / "own"), "R1_LAKE": lake.url}
    (tmp_path / "own").mkdir()
    command, env = [sys.executable, "-c", code], environment(tmp_path / "scratch", told)
    ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=240)
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert [n.rpartition("-")[2] for n in lake.names("lineage")] == ["start.json", "abort.json"]
    assert lake.names("attempts") == []
    (alert,) = post(f"{api}/artifacts/filter", {"artifacts": {"key": {"any_": ["reaper-alert"]}}})
    assert lost in alert["data"]
    assert "run again after a crash, attempt 2 of 3" in alert["data"]


@pytest.mark.slow
def test_a_run_that_was_taken_and_never_begun_is_run_again(prefect_server: tuple[str, Path]) -> None:
    """Its worker was killed before its process lived: nobody reports that."""
    api, _ = prefect_server
    taken, waits = _run(api, _deployment(api, "again", ["rerun"])), _run(api, _deployment(api, "later", ["rerun"]))
    post(f"{api}/flow_runs/{waits}/set_state", {"state": {"type": "SCHEDULED"}, "force": True})
    assert _reap(api, silent_s=0) == [], "it may be about to begin"
    said = "\n".join(_reap(api, silent_s=60, pending_s=0))
    assert f"{taken}): taken by a worker and not begun for" in said
    assert _state(api, taken) == ("SCHEDULED", "AwaitingRetry")
    assert _state(api, waits)[1] == "Scheduled", "no worker has taken it yet"


@pytest.mark.slow
def test_a_heartbeat_is_a_sign_of_life(prefect_server: tuple[str, Path]) -> None:
    api, _ = prefect_server
    run = _run(api, _deployment(api, "again", ["rerun"]), "RUNNING")
    began = time.monotonic()
    time.sleep(6)
    name, about = "prefect.flow-run.heartbeat", f"prefect.flow-run.{run}"
    now = dt.datetime.now(dt.UTC).isoformat()
    post(f"{api}/events", [{"event": name, "occurred": now, "resource": {"prefect.resource.id": about}, "id": run}])
    asked = {"filter": {"event": {"name": [name]}, "resource": {"id": [about]}}}
    for _ in range(60):  # the server writes events down a while later
        if post(f"{api}/events/filter", asked)["events"]:
            break
        time.sleep(0.5)
    silent_s = time.monotonic() - began - 2  # shorter than it runs, longer ago than its heartbeat
    assert [line for line in _reap(api, silent_s) if run in line] == []
    assert _state(api, run)[0] == "RUNNING"
    assert [line for line in _reap(api, silent_s=0) if run in line], "without that it would be taken for dead"
