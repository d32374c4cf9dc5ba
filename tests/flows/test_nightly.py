"""Nights on a real server: two never overlap, nothing new is said, and a person is told of faults."""

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from r1data.refs import list_refs
from r1data.storage import Lake
from tests.running import environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

BLOCK = """
from prefect.blocks.notifications import CustomWebhookNotificationBlock as Block
Block(name="told", url={url!r}, json_data={{"text": "{{{{subject}}}}: {{{{body}}}}"}}).save("night")
"""


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[str]]]:
    """Where a notification goes, and what came."""
    told: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["content-length"])))["text"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", told
    server.shutdown()
    thread.join()
    server.server_close()


def _post(url: str, body: dict[str, Any]) -> Any:
    answer = httpx.post(url, json=body, timeout=30)
    answer.raise_for_status()
    return answer.json()


def _night(api: str, tmp_path: Path, code: str, **more: str) -> tuple[int, str]:
    told = {"PREFECT_API_URL": api, "PREFECT_HOME": str(tmp_path / "own"), **more}
    env = environment(tmp_path / "scratch", told)
    (tmp_path / "own").mkdir(exist_ok=True)
    run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=400)
    return run.returncode, run.stdout + run.stderr


def _state(api: str, name: str) -> dict[str, Any]:
    """The state of the latest run of that name."""
    asked = {"flow_runs": {"name": {"any_": [name]}}, "sort": "START_TIME_DESC", "limit": 1}
    found: dict[str, Any] = _post(f"{api}/flow_runs/filter", asked)[0]["state"]
    return found


def test_two_nights_never_overlap_and_faults_are_told(
    prefect_server: tuple[str, Path], webhook: tuple[str, list[str]], tmp_path: Path
) -> None:
    api, _ = prefect_server
    url, told = webhook
    flow = _post(f"{api}/flows/", {"name": "nightly"})
    running = {"type": "RUNNING"}
    known = {"flow_id": flow["id"], "name": "the-first", "parameters": {"recipe": "none-such"}, "state": running}
    first = _post(f"{api}/flow_runs/", known)["id"]
    code = "from flows.nightly import nightly; nightly(recipe='none-such', return_state=True)"
    status, out = _night(api, tmp_path, code)
    assert status == 0, out[-3000:]
    state = _state(api, "nightly-none-such")
    assert (state["type"], state["name"]) == ("COMPLETED", "Skipped")
    assert state["message"].startswith(f"the-first ({first}) goes on since")
    assert told == []
    ended = {"state": {"type": "CRASHED"}, "force": True}
    _post(f"{api}/flow_runs/{first}/set_state", ended)
    status, out = _night(api, tmp_path, BLOCK.format(url=url) + code, R1_NOTIFY="custom-webhook/night")
    state = _state(api, "nightly-none-such")
    assert state["type"] == "FAILED", out[-3000:]
    assert "no such recipe" in state["message"]
    (message,) = told
    assert message.startswith("nightly-none-such: Failed: ")
    assert "no such recipe" in message
    status, out = _night(api, tmp_path, code, R1_NOTIFY="custom-webhook/other")
    assert "nobody was told: R1_NOTIFY: block custom-webhook/other" in out
    alerts = _post(f"{api}/artifacts/filter", {"artifacts": {"key": {"any_": ["nightly-alert"]}}})
    assert len(alerts) == 2, "with or without a block"


def test_nothing_new_is_said_and_what_is_there_published(
    finished: Lake, prefect_server: tuple[str, Path], tmp_path: Path
) -> None:
    api, _ = prefect_server
    folder = tmp_path / "lake"
    shutil.copytree(finished.root, folder)
    code = f"from flows.nightly import nightly; nightly(recipe='smoke', lake={str(folder)!r}, return_state=True)"
    status, out = _night(api, tmp_path, code)
    assert status == 0, out[-3000:]
    state = _state(api, "nightly-smoke")
    assert state["type"] == "COMPLETED", state
    assert state["message"].startswith("nothing new: all ")
    published = [ref for ref in list_refs(Lake.open(str(folder))) if ref.startswith("current/")]
    assert published == ["current/smoke/distill", "current/smoke/r1"]
    assert len(_post(f"{api}/flow_runs/filter", {})) == 1, "no stage was started"
    (page,) = _post(f"{api}/artifacts/filter", {"artifacts": {"key": {"any_": ["smoke-nightly"]}}})
    assert "| r1 | first |" in page["data"]
