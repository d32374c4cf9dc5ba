"""Nights on a real server: two never overlap, nothing new is said, new problems flow through, faults are told."""

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

import r1data
from r1data.recipe import load_recipe, recipe_path
from r1data.refs import list_refs, move_ref, resolve
from r1data.stages import graph
from r1data.storage import Lake
from tests.prefect_server import post
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


def _night(api: str, tmp_path: Path, code: str, **more: str) -> tuple[int, str]:
    told = {"PREFECT_API_URL": api, "PREFECT_HOME": str(tmp_path / "own"), **more}
    env = environment(tmp_path / "scratch", told)
    (tmp_path / "own").mkdir(exist_ok=True)
    run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=400)
    return run.returncode, run.stdout + run.stderr


def _state(api: str, name: str) -> dict[str, Any]:
    """The state of the latest run of that name."""
    asked = {"flow_runs": {"name": {"any_": [name]}}, "sort": "START_TIME_DESC", "limit": 1}
    found: dict[str, Any] = post(f"{api}/flow_runs/filter", asked)[0]["state"]
    return found


def test_two_nights_never_overlap_and_faults_are_told(
    prefect_server: tuple[str, Path], webhook: tuple[str, list[str]], tmp_path: Path
) -> None:
    api, _ = prefect_server
    url, told = webhook
    flow = post(f"{api}/flows/", {"name": "nightly"})
    running = {"type": "RUNNING"}
    known = {"flow_id": flow["id"], "name": "the-first", "parameters": {"recipe": "none-such"}, "state": running}
    first = post(f"{api}/flow_runs/", known)["id"]
    code = "from flows.nightly import nightly; nightly(recipe='none-such', return_state=True)"
    status, out = _night(api, tmp_path, code)
    assert status == 0, out[-3000:]
    state = _state(api, "nightly-none-such")
    assert (state["type"], state["name"]) == ("COMPLETED", "Skipped")
    assert state["message"].startswith(f"the-first ({first}) goes on since")
    assert told == []
    ended = {"state": {"type": "CRASHED"}, "force": True}
    post(f"{api}/flow_runs/{first}/set_state", ended)
    status, out = _night(api, tmp_path, BLOCK.format(url=url) + code, R1_NOTIFY="custom-webhook/night")
    state = _state(api, "nightly-none-such")
    assert state["type"] == "FAILED", out[-3000:]
    assert "no such recipe" in state["message"]
    (message,) = told
    assert message.startswith("nightly-none-such: Failed: ")
    assert "no such recipe" in message
    status, out = _night(api, tmp_path, code, R1_NOTIFY="custom-webhook/other")
    assert "nobody was told: R1_NOTIFY: block custom-webhook/other" in out
    alerts = post(f"{api}/artifacts/filter", {"artifacts": {"key": {"any_": ["nightly-alert"]}}})
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
    assert len(post(f"{api}/flow_runs/filter", {})) == 1, "no stage was started"
    (page,) = post(f"{api}/artifacts/filter", {"artifacts": {"key": {"any_": ["smoke-nightly"]}}})
    assert "| r1 | first |" in page["data"]


def test_new_problems_flow_through_and_nothing_is_trained(
    finished: Lake, prefect_server: tuple[str, Path], tmp_path: Path
) -> None:
    api, _ = prefect_server
    lake = Lake.open(str(tmp_path / "lake"))
    shutil.copytree(finished.root, lake.root)
    trained = [n.name for n in graph(load_recipe("smoke")) if n.step.kind == "train"]
    for name in ("r1", "distill"):
        move_ref(lake, f"current/smoke/{name}", resolve(lake, f"smoke/{name}"))
    before, events = {ref: resolve(lake, ref) for ref in list_refs(lake)}, lake.names("lineage")
    old, answers = _problems(lake), _recorded(lake)
    text = (
        recipe_path("smoke").read_text().replace("size = 24\n", "size = 30\n").replace("size = 120\n", "size = 160\n")
    )
    keep = "".join(f'{name} = "@smoke/{name}"\n' for name in trained)
    night = tmp_path / "night.toml"
    night.write_text(f"{text}\n[keep]\n{keep}")
    code = f"from flows.nightly import nightly; nightly(recipe={str(night)!r}, lake={lake.url!r}, return_state=True)"
    status, out = _night(api, tmp_path, code)
    assert status == 0, out[-3000:]
    state = _state(api, f"nightly-{night}")
    assert (state["type"], "nodes were to run" in state["message"]) == ("COMPLETED", True), state
    new = _problems(lake).join(old, on=["problem_id", "split"], how="anti")  # a known one may be held out now
    fresh = set(new["problem_id"])
    known = set(old["problem_id"]) - fresh
    asked = {problem: n - answers.get(problem, 0) for problem, n in _recorded(lake).items()}
    assert {problem for problem, n in asked.items() if n} == fresh & asked.keys() != set()
    assert {asked[problem] for problem in new.filter(split="eval")["problem_id"]} == {4 * 9}, (
        "samples of every checkpoint"
    )
    begun = {json.loads(lake.read(n))["job"]["name"] for n in set(lake.names("lineage")) - set(events)}
    assert begun & {f"smoke/{name}" for name in trained} == set()
    for name in (*(f"smoke/{n}" for n in trained), "current/smoke/r1", "current/smoke/distill"):
        assert resolve(lake, name).path == before[name].path
    assert (made := resolve(lake, "smoke/sft_mix")).digest != before["smoke/sft_mix"].digest
    assert made.labels["kept dev2"] == f"smoke/dev2@{before['smoke/dev2'].digest}"
    for ref in ("smoke/cold_start", "smoke/sft_mix/reasoning"):
        rows = _ids(lake, ref)
        assert rows & known, f"{ref}: rows of known problems"
        assert rows & fresh, f"{ref}: rows of new problems"
    status, out = _night(api, tmp_path, code)
    assert _state(api, f"nightly-{night}")["message"].startswith("nothing new: all "), out[-3000:]


def _ids(lake: Lake, ref: str) -> set[str]:
    """The problems that a table's rows are about."""
    return set(r1data.scan(ref, lake.url).collect()["problem_id"])


def _problems(lake: Lake) -> pl.DataFrame:
    return r1data.scan("smoke/problems", lake.url).select("problem_id", "split").collect()


def _recorded(lake: Lake) -> dict[str, int]:
    """How many answers of the engine are recorded of each problem."""
    parts = [
        lake.read_table(n, None, ["candidate_id", "problem_id"]) for n in lake.names("calls") if n.endswith(".parquet")
    ]
    found = pl.DataFrame(pa.concat_tables(parts)).unique("candidate_id").group_by("problem_id").len()
    return dict(found.iter_rows())
