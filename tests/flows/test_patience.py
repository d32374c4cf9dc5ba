"""A Prefect server that is away for a while costs a run nothing; a fault of another kind is not tried again."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from flows.patience import patient
from r1data.errors import StoreUnavailable
from tests.running import environment, wait_until
from tests.s3 import free_port

AWAY = httpx.ConnectError("All connection attempts failed")


def test_a_server_that_is_away_is_waited_for() -> None:
    faults: list[Exception] = [AWAY, httpx.ReadTimeout("slow")]
    said: list[str] = []

    def call() -> int:
        if faults:
            raise faults.pop()
        return 7

    assert patient(call, said.append, (0, 0, 0)) == 7
    assert [line.partition(":")[0] for line in said] == ["ReadTimeout", "ConnectError"]


@pytest.mark.parametrize(
    ("fault", "pauses", "given_up", "calls"),
    [
        (AWAY, (0, 0), False, 3),
        (AWAY, (0, 0), True, 1),
        (ValueError("ours"), (0, 0), False, 1),
        (StoreUnavailable("away"), (0,), False, 2),
    ],
    ids=["away for too long", "begun already", "another fault", "asked for by the caller"],
)
def test_patience_ends(fault: Exception, pauses: tuple[float, ...], given_up: bool, calls: int) -> None:
    made = []

    def call() -> None:
        made.append(1)
        raise fault

    with pytest.raises(type(fault)):
        patient(call, lambda _: None, pauses, lambda: given_up, (StoreUnavailable,))
    assert len(made) == calls


RUN = """
import sys, time
from pathlib import Path
from types import SimpleNamespace as N
from prefect import flow
import flows.r1 as module

place = Path(sys.argv[1])
def run_node(name):
    (place / name).touch()
    while name == "plain" and not (place / "down").exists():
        time.sleep(0.1)
    return N(rows=1, path="p"), False
module.node_told = lambda lake, name, *about: {"node": name, "was there": "no"}
module.stage_results = lambda *about: None
kinds = {"plain": "map", "trained": "train"}
nodes = {name: N(step=N(kind=kind, output=None), params=None, stage="zero", kept="") for name, kind in kinds.items()}
recipe = N(name="t")
def run_nodes(stage, work):
    return {name: work(name) for name in nodes}
session = N(nodes=nodes, run_node=run_node, run_nodes=run_nodes, lake=None, recipe=recipe, report=print)

@flow
def whole():
    module.run_stage(session, "zero")
whole()
print("ENDED")
"""


@pytest.fixture
def port() -> int:
    """Of a server that is started twice."""
    return free_port()


def _start(port: int, home: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    env = environment(home, {"PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"})
    home.mkdir(exist_ok=True)
    with (home / "log").open("ab") as out:
        server = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=env, start_new_session=True)

    def healthy() -> bool:
        assert server.poll() is None, (home / "log").read_text(errors="replace")[-2000:]
        with suppress(httpx.TransportError):
            return httpx.get(f"http://127.0.0.1:{port}/api/health", timeout=5).status_code == 200
        return False

    wait_until(healthy, 120)
    return server


@pytest.fixture
def servers(port: int, tmp_path: Path) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Those that were started; killed in the end."""
    found = [_start(port, tmp_path / "home")]
    yield found
    for server in found:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_as_a_training_asks_for_its_slot(
    port: int, servers: list["subprocess.Popen[bytes]"], tmp_path: Path
) -> None:
    """It is the first to ask, by a client that was never connected."""
    told = {"PREFECT_API_URL": f"http://127.0.0.1:{port}/api", "PREFECT_HOME": str(tmp_path / "own")}
    (tmp_path / "own").mkdir()
    env = environment(tmp_path / "scratch", told)
    with subprocess.Popen(
        [sys.executable, "-u", "-c", RUN, str(tmp_path)],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as run:
        wait_until((tmp_path / "plain").exists, 120)
        os.killpg(servers[0].pid, signal.SIGKILL)
        servers[0].wait()
        (tmp_path / "down").touch()
        time.sleep(10)
        servers.append(_start(port, tmp_path / "home"))
        out, _ = run.communicate(timeout=300)
    assert run.returncode == 0, out[-3000:]
    assert out.rstrip().endswith("ENDED")
    assert (tmp_path / "trained").exists()
