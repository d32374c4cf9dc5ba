"""Prefect gets a task a node, however many shards the node has."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.orchestration import make_shards, task_runs
from r1data.refs import resolve
from r1data.storage import Lake
from tests.running import environment

SHARDS = 60


@pytest.mark.slow
def test_a_node_of_many_shards_is_one_task(prefect_server: tuple[str, Path], tmp_path: Path) -> None:
    api, _ = prefect_server
    lake = Lake.open(str(tmp_path / "lake"))
    make_shards(lake, SHARDS)
    env = environment(tmp_path / "scratch", {"PREFECT_API_URL": api, "PREFECT_HOME": str(tmp_path / "own")})
    command = [sys.executable, "-m", "benchmarks.orchestration", "flow", lake.url, str(tmp_path / "scratch")]
    ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=240)
    assert ended.returncode == 0, ended.stderr[-3000:]
    copied = resolve(lake, "smoke/copied")
    assert (len(copied.shards), copied.rows) == (SHARDS, SHARDS)
    assert task_runs(api) == 2, "the node, and the stage's subflow as its parent counts it"
