"""A run that is run again goes through its stages again: the lake says what is done, not what Prefect remembers."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import environment

AGAIN = """
from types import SimpleNamespace
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow
from prefect.states import Pending
import flows.r1 as module

begun = []
def run_nodes(stage, work):
    begun.append(stage)
    return {}
recipe = SimpleNamespace(name="t")
session = SimpleNamespace(nodes={}, run_nodes=run_nodes, lake=None, recipe=recipe, report=print)

@flow
def two():
    module.run_stage(session, "zero")
    if begun == ["zero"]:
        raise RuntimeError("the machine is gone")
    module.run_stage(session, "cold_start")

run_id = two(return_state=True).state_details.flow_run_id
with get_client(sync_client=True) as client:
    client.set_flow_run_state(run_id, Pending(), force=True)
    run_flow(two, flow_run=client.read_flow_run(run_id))
print("BEGUN", begun)
"""


@pytest.mark.slow
def test_a_rerun_begins_every_stage_again(prefect_server: tuple[str, Path], tmp_path: Path) -> None:
    api, _ = prefect_server
    env = environment(tmp_path / "scratch", {"PREFECT_API_URL": api, "PREFECT_HOME": str(tmp_path / "own")})
    (tmp_path / "own").mkdir()
    run = subprocess.run([sys.executable, "-c", AGAIN], env=env, capture_output=True, text=True, timeout=240)
    assert run.returncode == 0, run.stderr[-3000:]
    assert "BEGUN ['zero', 'zero', 'cold_start']" in run.stdout
