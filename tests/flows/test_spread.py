"""Map steps on a real Ray cluster of two nodes: digests as here, and a killed node costs only the shard it was at."""

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.orchestration import task_runs
from r1data.recipe import SHIPPED
from r1data.refs import resolve
from r1data.storage import Lake
from tests.flows.spreading import ROWS, SHARDS, make
from tests.ray_cluster import RayCluster
from tests.running import environment, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
PIECES = 6
LOCAL = ["[cluster]", 'rollouts = "in_process"']


@pytest.fixture
def cluster() -> Iterator[RayCluster]:
    with RayCluster() as found:
        yield found


def recipe(folder: Path, name: str, *cluster: str) -> Path:
    """The smoke recipe on a cluster."""
    text = (SHIPPED / "smoke.toml").read_text(encoding="utf-8").partition("[cluster]")[0]
    path = folder / f"{name}.toml"
    path.write_text("\n".join([text, *cluster, ""]), encoding="utf-8")
    return path


def started(by: str, lake: Lake, recipe: Path, env: dict[str, str], *nodes: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.flows.spreading", by, lake.url, env["R1_SCRATCH"], str(recipe), *nodes]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def ended(process: "subprocess.Popen[str]") -> str:
    out, _ = process.communicate(timeout=400)
    assert process.returncode == 0, out[-4000:]
    return out


def test_shards_over_two_nodes_and_one_of_them_killed(
    cluster: RayCluster, prefect_server: tuple[str, Path], tmp_path: Path
) -> None:
    api, _ = prefect_server
    there, here = make(str(tmp_path / "there")), make(str(tmp_path / "here"))
    env = environment(tmp_path / "scratch", {"PREFECT_API_URL": api, "PREFECT_HOME": str(tmp_path / "own")})
    ended(started("here", here, recipe(tmp_path, "here", *LOCAL), env, "verdicts", "measures", "noted"))
    ray = [f'address = "{cluster.address}"', f'jobs = "{cluster.jobs}"', f"map_tasks = {PIECES}"]
    on_ray = recipe(tmp_path, "there", *LOCAL, 'kind = "ray"', "[cluster.ray]", *ray)
    env |= cluster.environment

    ended(started("flow", there, on_ray, env, "verdicts", "measures"))
    assert task_runs(api) == 2 * (PIECES + 2) + 1, "pieces, their subflow, the node's task; the stage's subflow"

    ran = Path(there.root) / "ran"
    flow = started("flow", there, on_ray, env, "noted")
    wait_until(lambda: len(workers(ran) & cluster.pids(1)) > 0 and len(lines(ran)) >= SHARDS // 3, 200)
    lost = workers(ran) & cluster.pids(1)
    cluster.kill(1)
    ended(flow)

    for name in ("verdicts", "measures", "noted"):
        ours, theirs = resolve(here, f"smoke/{name}"), resolve(there, f"smoke/{name}")
        assert (theirs.rows, len(theirs.shards)) == (SHARDS * ROWS, SHARDS)
        assert theirs.digest == ours.digest
    times = Counter(problem for _, problem in lines(ran))
    assert len(times) == SHARDS
    again = [problem for problem, number in times.items() if number > 1]
    assert len(again) <= 1, "one processor, so one shard at a time"
    assert all(times[p] == 2 and int(next(pid for pid, q in lines(ran) if q == p)) in lost for p in again)


def lines(ran: Path) -> list[tuple[str, str]]:
    """Process and problem of every shard that was begun, in order."""
    return re.findall(r"(\d+) (p\d+)\n", ran.read_text(encoding="utf-8")) if ran.exists() else []


def workers(ran: Path) -> set[int]:
    """The processes that began shards."""
    return {int(pid) for pid, _ in lines(ran)}
