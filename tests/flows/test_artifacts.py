"""A flow run shows what samples as a progress artifact, and goes on where the API is gone."""

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from flows.artifacts import artifact_key
from flows.results import evaluated, linked
from r1data.cluster_params import ClusterParams
from r1data.report.audit import audit_markdown
from r1data.report.gathered import gathered
from r1data.report.page import write_run
from r1data.storage import Lake
from tests.prefect_server import post
from tests.r1data.inspect.tiny_lake import make_lake
from tests.running import environment

FLOW = """
import threading, time
from prefect import flow
from flows.artifacts import PROGRESS, ProgressArtifacts, StageProgress
from r1data.progress import Progress
from r1data.spending import BudgetParams, Spending

@flow(name="sampling")
def sampling() -> str:
    spending = Spending(BudgetParams(gpu_hour_price=2.0))
    with ProgressArtifacts("Mine", spending, every=0.3) as artifacts:
        seen = Progress("cold_start/candidates", expected=40)

        def sample() -> None:
            for _ in range(40):
                seen.done += 1
                artifacts.watch(seen)
                time.sleep(0.05)
            seen.ended = time.monotonic()
            spending.add(10, 1800)

        thread = threading.Thread(target=sample)
        thread.start()
        thread.join()
        {then}
    return "went on"

print(sampling())
"""


def flow_run(tmp_path: Path, api: str, then: str = "pass") -> str:
    """What a process with the flow says."""
    env = environment(tmp_path / "scratch", {"PREFECT_API_URL": api, "PREFECT_HOME": str(tmp_path / "own")})
    told = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", FLOW.format(then=then)],
        env=env,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert told.returncode == 0, told.stderr[-3000:]
    assert "went on" in told.stdout
    return told.stdout + told.stderr


def artifacts_of(api: str) -> list[dict[str, Any]]:
    """All that the server has."""
    found: list[dict[str, Any]] = post(f"{api}/artifacts/filter", {})
    return found


OTHERS = """heard = artifacts.hearing(print)
        for line in ("  zero: step 1/2 loss 0.5", "  zero: step 2/2 loss 0.25", "zero: grpo (train)"):
            heard(line)
        PROGRESS.set(artifacts)
        StageProgress("zero", 1).add(skipped=True)
        StageProgress("dev1", 2).add(skipped=False)
        time.sleep(1)"""


@pytest.mark.slow
def test_progress_is_an_artifact_of_the_run_and_ends_at_the_whole(
    prefect_server: tuple[str, Path], tmp_path: Path
) -> None:
    api, _ = prefect_server
    told = flow_run(tmp_path, api, OTHERS)
    shown = {a["key"]: a for a in artifacts_of(api)}
    found = shown.pop("mine-cold-start-candidates-progress")
    assert (found["type"], float(found["data"])) == ("progress", 100)
    assert found["description"].startswith("cold_start/candidates: 40/40 candidates, ")
    assert "1.00 USD" in found["description"]
    assert found["flow_run_id"]
    assert "progress artifacts: " not in told
    assert found["updated"] > found["created"], "it was updated while the node was sampled"
    assert {key: (float(a["data"]), a["description"]) for key, a in shown.items()} == {
        "mine-zero-progress": (100, "training of zero: step 2 of 2; loss 0.25"),
        "mine-stage-dev1-progress": (50, "stage dev1: 1 of 2 nodes done (0 there already)"),
    }, "a stage that finds all there at once is not shown"


@pytest.mark.slow
def test_an_api_that_fails_is_logged_and_nothing_else(prefect_server: tuple[str, Path], tmp_path: Path) -> None:
    api, _ = prefect_server
    then = """import httpx, flows.artifacts as module
        def gone(*_):
            raise httpx.ConnectError("gone")
        module.update_progress_artifact = gone
        artifacts.watch(Progress("cold_start/candidates", expected=40, done=3))
        time.sleep(1.5)"""
    told = flow_run(tmp_path, api, then)
    assert told.count("progress artifacts: ConnectError: gone; the run goes on without them") == 1


def test_keys_are_what_prefect_takes() -> None:
    assert artifact_key("Qwen_7b v1.5", "eval/zero/candidates") == "qwen-7b-v1-5-eval-zero-candidates"


def test_a_link_is_text_where_no_browser_finds_the_lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = Lake.open(str(tmp_path))
    assert linked(lake, "a/b.html", "page") == f"` file://{tmp_path}/a/b.html `"
    monkeypatch.setenv("R1_LAKE_WEB", "https://lake.example/files/")
    assert linked(lake, "a/b c.html", "page") == "[page](https://lake.example/files/a/b%20c.html)"


def test_artifacts_and_the_page_read_each_object_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake, reads, read = make_lake(tmp_path / "lake"), Counter[str](), Lake.read

    def counted(self: Lake, name: str) -> bytes:
        reads[name] += name.endswith(("evaluations.parquet", "part-00000.parquet"))
        return read(self, name)

    monkeypatch.setattr(Lake, "read", counted)
    run = gathered(lake, "tiny")
    shown = evaluated(run)
    assert audit_markdown(run.audits) == "No verdicts were audited."
    once = +reads
    assert once
    write_run(run, ClusterParams())
    assert {name: n for name, n in reads.items() if name in once and n > 1} == {}
    assert "zero - base, points of pass@1" in shown
