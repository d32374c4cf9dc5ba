"""prefect.yaml on a real server: its deployments, their forms, the schedule that yields runs, pools and limit."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import get_args

import httpx
import pytest
import yaml

from r1data.stages import STAGES
from r1data.stages.order import StageName
from r1data.telemetry import SWITCHES
from tests.prefect_server import get, post

ROOT = Path(__file__).resolve().parents[2]
SCHEDULED_S = 90.0


def _deploy(api: str, tmp_path: Path, gpu_tasks: int) -> None:
    own = {"PREFECT_API_URL": api, "PREFECT_HOME": str(tmp_path / "own"), "R1_GPU_TASKS": str(gpu_tasks)}
    (tmp_path / "own").mkdir(exist_ok=True)
    command = [sys.executable, "-m", "flows.ops", "deploy"]
    run = subprocess.run(command, env={**os.environ, **own}, capture_output=True, text=True, timeout=240, cwd=tmp_path)
    assert run.returncode == 0, (run.stdout + run.stderr)[-3000:]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_all_is_deployed_and_the_night_is_scheduled(prefect_server: tuple[str, Path], tmp_path: Path) -> None:
    api, log = prefect_server
    _deploy(api, tmp_path, gpu_tasks=3)
    found = {d["name"]: d for d in post(f"{api}/deployments/filter", {})}
    stages = {f"stage-{s}" for s in STAGES} - {"stage-evaluate"}
    assert found.keys() == {"recipe", "nightly", "evaluate", "plan"} | stages
    for name, deployment in found.items():
        fields = deployment["parameter_openapi_schema"]["properties"]
        assert fields, name
        assert [f for f, schema in fields.items() if not schema.get("description")] == [], (
            f"{name}: fields without help"
        )
        assert deployment["work_pool_name"] == ("cpu" if name == "plan" else "gpu")
    assert found["stage-dev1"]["parameter_openapi_schema"]["properties"]["stage"]["enum"] == list(STAGES)
    (cron,) = found["nightly"]["schedules"]
    assert (cron["active"], cron["schedule"]["cron"], cron["schedule"]["timezone"]) == (True, "0 2 * * *", "Etc/UTC")
    assert _until_scheduled(api, found["nightly"]["id"]) >= 3, log.read_text(errors="replace")[-2000:]
    assert get(f"{api}/concurrency_limits/tag/gpu")["concurrency_limit"] == 3
    pools = {p["name"]: p["type"] for p in post(f"{api}/work_pools/filter", {})}
    assert pools == {"cpu": "process", "gpu": "process"}
    refused = httpx.post(
        f"{api}/deployments/{found['nightly']['id']}/create_flow_run",
        json={"parameters": {"late_hours": 0}},
        timeout=30,
    )
    assert refused.status_code == 409, "the server checks what a person fills in"
    _deploy(api, tmp_path, gpu_tasks=1)
    assert get(f"{api}/concurrency_limits/tag/gpu")["concurrency_limit"] == 1
    assert len(post(f"{api}/deployments/filter", {})) == len(found), "deployed again, nothing twice"


def _until_scheduled(api: str, deployment: str) -> int:
    wanted = {"deployments": {"id": {"any_": [deployment]}}, "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
    end = time.monotonic() + SCHEDULED_S
    while (runs := len(post(f"{api}/flow_runs/filter", wanted))) < 3 and time.monotonic() < end:
        time.sleep(1)
    return runs


def test_the_stages_of_the_form_are_the_recipes() -> None:
    assert get_args(StageName) == STAGES


def test_workers_report_no_usage() -> None:
    told = yaml.safe_load((ROOT / "prefect.yaml").read_text())["definitions"]["environment"]
    of_servers = {name for name in SWITCHES if name.startswith("PREFECT_SERVER_")}
    assert {k: v for k, v in told.items() if k in SWITCHES} == {
        k: v for k, v in SWITCHES.items() if k not in of_servers
    }
