"""A flow whose recipe asks for a review pauses in Prefect, takes the form, writes it into the lake and goes on."""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import r1data
from r1data.recipe import SHIPPED
from r1data.refs import resolve
from r1data.review import read_review
from r1data.storage import Lake
from tests.prefect_server import post
from tests.running import environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
DEADLINE_S = 180.0


def _run_in_state(api: str, state: str) -> str:
    """The flow run's id, once it is in that state."""
    end = time.monotonic() + DEADLINE_S
    asked = {"flow_runs": {"state": {"type": {"any_": [state]}}}}
    while time.monotonic() < end:
        found = [r for r in post(f"{api}/flow_runs/filter", asked) if r["name"].startswith("r1-")]
        if found:
            return str(found[0]["id"])
        time.sleep(0.5)
    pytest.fail(f"no flow run in state {state} after {DEADLINE_S:.0f} s")


def _waiting(finished: Lake, tmp_path: Path, more: str = "") -> tuple[Path, Path]:
    """A copy of the finished lake without its reviews, and a recipe that waits for one."""
    folder, recipe = tmp_path / "lake", tmp_path / "waits.toml"
    shutil.copytree(finished.root, folder)
    shutil.rmtree(folder / "reviews")
    text = (SHIPPED / "smoke.toml").read_text(encoding="utf-8")
    recipe.write_text(text.replace("[cold_start]", f'[cold_start]\nreview = "wait"\n{more}'), encoding="utf-8")
    return folder, recipe


@contextmanager
def _flow(api: str, folder: Path, recipe: Path, tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """The flow in a process of its own, which does not outlive a test that fails."""
    env = environment(tmp_path / "scratch", {"PREFECT_API_URL": api, "PREFECT_HOME": str(tmp_path / "home")})
    code = f"from flows.r1 import r1; r1({str(recipe)!r}, {str(folder)!r})"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _resume(api: str, run_id: str, form: dict[str, Any]) -> None:
    """Hand the form in; a moment after the run has paused Prefect does not know its form yet and refuses."""
    end = time.monotonic() + DEADLINE_S
    while (told := post(f"{api}/flow_runs/{run_id}/resume", {"run_input": form}))["status"] != "ACCEPT":
        assert time.monotonic() < end, told
        time.sleep(0.5)


def _artifact(api: str, key: str) -> str:
    """An artifact's text, once it is there."""
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        found = post(f"{api}/artifacts/filter", {"artifacts": {"key": {"any_": [key]}}})
        if found:
            return str(found[0]["data"])
        time.sleep(0.5)
    pytest.fail(f"no artifact {key} after {DEADLINE_S:.0f} s")


def _until_there(lake: Lake, refs: tuple[str, ...]) -> None:
    """Wait until other content than the finished lake's stands under the refs."""
    before = {ref: resolve(lake, ref).digest for ref in refs}
    end = time.monotonic() + DEADLINE_S
    while any(resolve(lake, ref).digest == before[ref] for ref in refs):
        assert time.monotonic() < end, f"{refs} are as they were after {DEADLINE_S:.0f} s"
        time.sleep(0.5)


@pytest.mark.parametrize("accept", [True, False], ids=["accepted", "rejected"])
def test_the_form_decides(finished: Lake, prefect_server: tuple[str, Path], tmp_path: Path, accept: bool) -> None:
    api, _ = prefect_server
    folder, recipe = _waiting(finished, tmp_path)
    with _flow(api, folder, recipe, tmp_path) as process:
        run_id = _run_in_state(api, "PAUSED")
        form = {"reviewer": "Ada", "accept": accept, "note": "read twenty"}
        _resume(api, run_id, form)
        _, told = process.communicate(timeout=300)
    lake = Lake.open(str(folder))
    review = read_review(lake, resolve(lake, "smoke/cold_start"))
    assert review is not None
    assert (review.reviewer, review.accepted, review.note) == ("Ada", accept, "read twenty")
    assert (process.returncode == 0) == accept, told[-2000:]
    assert ("rejected by Ada: read twenty" in told) != accept


def test_rows_are_rejected_by_id_and_unknown_ids_asked_again(
    finished: Lake, prefect_server: tuple[str, Path], tmp_path: Path
) -> None:
    api, _ = prefect_server
    folder, recipe = _waiting(finished, tmp_path)
    rows = r1data.scan("smoke/cold_start", finished.url).collect()["example_id"].to_list()
    with _flow(api, folder, recipe, tmp_path) as process:
        run_id = _run_in_state(api, "PAUSED")
        sample = _artifact(api, "smoke-review")
        assert "| language_consistency |" in sample
        assert any(name[:12] in sample for name in rows)
        form = {"reviewer": "Ada", "accept": True, "reject_rows": ["none-such"]}
        _resume(api, run_id, form)
        assert "none-such" in _artifact(api, "smoke-review-fault")
        _run_in_state(api, "PAUSED")
        again = {**form, "reject_rows": [rows[0][:14]]}
        _resume(api, run_id, again)
        _until_there(Lake.open(str(folder)), ("smoke/cold_start/reviewed", "smoke/cold_start/reviewed/drops"))
        process.kill()  # what follows is trained on fewer rows, and shown elsewhere
    left = r1data.scan("smoke/cold_start/reviewed", str(folder)).collect()["example_id"].to_list()
    assert left == rows[1:]
    gone = r1data.scan("smoke/cold_start/reviewed/drops", str(folder)).collect()
    assert gone.select("row_id", "gate", "value").rows() == [(rows[0], "review", "Ada")]


def test_nobody_comes(finished: Lake, prefect_server: tuple[str, Path], tmp_path: Path) -> None:
    api, _ = prefect_server
    folder, recipe = _waiting(finished, tmp_path, "review_hours = 0.001")
    with _flow(api, folder, recipe, tmp_path) as process:
        _, told = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "nobody decided within 0.001 hours" in told
    lake = Lake.open(str(folder))
    review = read_review(lake, resolve(lake, "smoke/cold_start"))
    assert review is not None
    assert review.decision == "timed out"
    assert _run_in_state(api, "FAILED")
