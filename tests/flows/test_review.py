"""A flow whose recipe asks for a review pauses in Prefect, takes the form, writes it into the lake and goes on."""

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from r1data.recipe import SHIPPED
from r1data.refs import resolve
from r1data.review import read_review
from r1data.storage import Lake
from tests.running import environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
DEADLINE_S = 180.0


def _post(url: str, body: dict[str, Any]) -> Any:
    answer = httpx.post(url, json=body, timeout=30)
    answer.raise_for_status()
    return answer.json() if answer.content else None


def _run_in_state(api: str, state: str) -> str:
    end = time.monotonic() + DEADLINE_S
    asked = {"flow_runs": {"state": {"type": {"any_": [state]}}}}
    while time.monotonic() < end:
        found = [r for r in _post(f"{api}/flow_runs/filter", asked) if r["name"].startswith("r1-")]
        if found:
            return str(found[0]["id"])
        time.sleep(0.5)
    pytest.fail(f"no flow run in state {state} after {DEADLINE_S:.0f} s")


@pytest.mark.parametrize("accept", [True, False], ids=["accepted", "rejected"])
def test_the_form_decides(finished: Lake, prefect_server: tuple[str, Path], tmp_path: Path, accept: bool) -> None:
    api, _ = prefect_server
    folder = tmp_path / "lake"
    shutil.copytree(finished.root, folder)
    shutil.rmtree(folder / "reviews")
    recipe = tmp_path / "waits.toml"
    text = (SHIPPED / "smoke.toml").read_text(encoding="utf-8")
    recipe.write_text(text.replace("[cold_start]", '[cold_start]\nreview = "wait"'), encoding="utf-8")
    env = environment(tmp_path / "scratch", {"PREFECT_API_URL": api, "PREFECT_HOME": str(tmp_path / "home")})
    code = f"from flows.r1 import r1; r1({str(recipe)!r}, {str(folder)!r})"
    with subprocess.Popen([sys.executable, "-c", code], env=env, stderr=subprocess.PIPE, text=True) as process:
        run_id = _run_in_state(api, "PAUSED")
        form = {"reviewer": "Ada", "accept": accept, "note": "read twenty"}
        _post(f"{api}/flow_runs/{run_id}/resume", {"run_input": form})
        _, told = process.communicate(timeout=300)
    lake = Lake.open(str(folder))
    review = read_review(lake, resolve(lake, "smoke/cold_start"))
    assert review is not None
    assert (review.reviewer, review.accepted, review.note) == ("Ada", accept, "read twenty")
    assert (process.returncode == 0) == accept, told[-2000:]
    assert ("rejected by Ada: read twenty" in told) != accept
