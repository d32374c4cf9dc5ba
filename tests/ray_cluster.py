"""A real Ray cluster of two nodes of one CPU each, by `ray start` as people use it, ended by process id."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import psutil

from r1data.child import tied
from r1data.telemetry import SWITCHES

ROOT = Path(__file__).resolve().parent.parent
START_S = 400.0
MEMORY = "--object-store-memory=100000000"


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class RayCluster:
    """A head with its dashboard, and one more node; each with all of its processes."""

    def __enter__(self) -> "RayCluster":
        port, dashboard = free_port(), free_port()
        self.address, self.jobs = f"127.0.0.1:{port}", f"http://127.0.0.1:{dashboard}"
        self.folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # sockets lie in it: a short path
        self.nodes: list[subprocess.Popen[bytes]] = []
        token = self.folder / "token"
        token.write_text(uuid.uuid4().hex + uuid.uuid4().hex)
        self.environment = {**SWITCHES, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
        clients = f"--ray-client-server-port={free_port()}"
        board = ["--include-dashboard=true", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}"]
        try:
            self._start("--head", f"--port={port}", clients, *board, f"--temp-dir={self.folder}")
            self._start(f"--address={self.address}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self, *arguments: str) -> None:
        ray = [sys.executable, "-c", "from ray.scripts.scripts import main; main()", "start", "--block"]
        options = ["--num-cpus=1", MEMORY, "--disable-usage-stats", "--dashboard-agent-listen-port=0"]
        log = self.folder / f"node-{len(self.nodes)}.log"
        env = {**os.environ, **self.environment, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        with log.open("wb") as out:
            node = subprocess.Popen(
                tied([*ray, *arguments, *options]),
                stdout=out,
                stderr=subprocess.STDOUT,
                env=env,
                cwd="/",
                start_new_session=True,
            )
        self.nodes.append(node)
        end = time.monotonic() + START_S
        while "Ray runtime started" not in log.read_text(errors="replace"):
            assert node.poll() is None, log.read_text(errors="replace")[-3000:]
            assert time.monotonic() < end, log.read_text(errors="replace")[-3000:]
            time.sleep(0.2)

    def pids(self, node: int) -> set[int]:
        """The processes of a node, workers among them."""
        try:
            top = psutil.Process(self.nodes[node].pid)
            return {top.pid, *(child.pid for child in top.children(recursive=True))}
        except psutil.NoSuchProcess:
            return set()

    def kill(self, node: int) -> None:
        """As if its machine lost power: SIGKILL for every process of a node."""
        for pid in self.pids(node):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.nodes[node].wait(30)

    def __exit__(self, *_: object) -> None:
        """End all that was started, and remove its files."""
        for node in reversed(range(len(self.nodes))):
            self.kill(node)
        shutil.rmtree(self.folder, ignore_errors=True)
