"""All processes of a campaign on this machine: S3 server, fault-making proxy, and what `make up` starts.

Every process carries the mark of `make up` in its environment, by which victims and left-overs are found.
"""

import os
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.chaos.faults import CLIENT_S, Faulty
from flows.environment import Operations
from flows.ops.processes import MARK, marked
from flows.ops.up import Machine, locked
from r1data.storage import Lake
from tests.s3 import KEY, SECRET, Server, environment, free_port, proxied

BUCKET = "chaos"
SUPERVISED = ("S3 server", "Prefect server", "worker")  # what a supervisor starts again; the rest is the run's own
# how a process is known by its command line; the first that fits
SIGNS = (
    ("", ("r1data.child ",)),  # the guard of a process group: ends with it
    ("Prefect server", ("prefect server start",)),
    ("worker", ("worker start --pool gpu",)),
    ("", ("worker start --pool cpu", "flows.ops reap", "postgres")),
    ("flow", ("prefect.engine", "prefect.flow_engine", "flow-run execute")),
    ("engine", ("r1data.generate.fake_server", "vllm.entrypoints", "EngineCore")),
    ("torchrun", ("torch.distributed.run",)),
    ("rank", ("-m training.", "-u -m training.", " training.")),
)
OF_A_RUN = ("flow", "engine", "torchrun", "rank")


def kind_of(command: str) -> str:
    """What kind of process a command line is; empty for one that is none of the victims."""
    return next((kind for kind, signs in SIGNS if any(sign in command for sign in signs)), "")


@dataclass
class Stack:
    """The machine that runs are done on; a context manager that ends all of it, and first what is left."""

    folder: Path
    engine: str
    proxy_of: Callable[[Server], Faulty]
    settings: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> "Stack":
        """Start everything."""
        with ExitStack() as stack:
            (self.folder / "s3").mkdir(parents=True, exist_ok=True)
            self.folder.chmod(0o755)  # PostgreSQL is started as `nobody` by root
            up = Operations(self.folder / "up", free_port(), gpu_tasks=2)
            self.machine: Machine = stack.enter_context(locked(up))
            self.machine.say = lambda line: None
            self.machine.down()  # left by a driver that was killed
            stack.callback(self._ended)
            self.server = Server(self.folder / "s3")
            _end_gateway(self.server.folder)
            self.proxy = stack.enter_context(proxied(self.server, self.proxy_of(self.server)))
            os.environ.update(self._environment())
            self.start_s3()
            note, here = self.folder / "deployed", str(Path(__file__).resolve().parents[2])
            self.machine.up(deployed=note.exists() and note.read_text(encoding="utf-8") == here)
            note.write_text(here, encoding="utf-8")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *about: Any) -> None:
        """End all of it."""
        self._stack.__exit__(*about)

    def _ended(self) -> None:
        self.machine.down()
        self.server.kill()

    def _environment(self) -> dict[str, str]:
        return {
            **environment(self.proxy.url),
            "FSSPEC_S3": f'{{"config_kwargs": {{"read_timeout": {CLIENT_S}}}}}',
            "R1_ENGINE": self.engine,
            "R1_SCRATCH": str(self.folder / "scratch"),
            "R1_CLUSTER": str(self.folder / "cluster.toml"),
            "OMP_NUM_THREADS": "1",
            "R1_REAP_EVERY_S": "5",
            "R1_REAP_SILENT_S": "60",
            "R1_REAP_PENDING_S": "120",
            MARK: self.machine.state.mark,
            **self.settings,
        }

    @property
    def api(self) -> str:
        """Prefect's."""
        return self.machine.api

    def lake(self, number: int) -> Lake:
        """The lake of a run, read straight from the server with little patience."""
        options = {"connect_timeout": 5, "read_timeout": 30, "retries": {"max_attempts": 1}}
        url = f"s3://{BUCKET}/run-{number}"
        found = Lake.open(url, key=KEY, secret=SECRET, endpoint_url=self.server.url, config_kwargs=options)
        found.fs.retries = 1
        return found

    def start_s3(self) -> None:
        """The S3 server, with its bucket."""
        self.server.start()
        fs = self.lake(0).fs
        if not fs.exists(BUCKET):
            fs.mkdir(BUCKET)

    def alive(self) -> dict[str, list[psutil.Process]]:
        """Processes that can be killed, by kind."""
        found: dict[str, list[psutil.Process]] = {}
        for process in marked(self.machine.state.mark):
            with suppress(psutil.Error):
                if kind := kind_of(" ".join(process.cmdline())):
                    found.setdefault(kind, []).append(process)
        if self.server.process and self.server.process.poll() is None:
            found["S3 server"] = [psutil.Process(self.server.process.pid)]
        return found

    def restart(self, kind: str) -> None:
        """Do what a supervisor of the machine does for a process of that kind."""
        if kind == "S3 server":
            self.server.process.wait() if self.server.process else None
            self.start_s3()
        elif kind in SUPERVISED:
            self.machine.up(deployed=True)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """A request to Prefect's API; None while the server is away."""
        try:
            answer = httpx.request(method, f"{self.api}{path}", json=body, timeout=60)
        except httpx.TransportError:
            return None
        if answer.status_code >= 500:
            return None
        answer.raise_for_status()
        return answer.json() if answer.content else {}

    def asked(self, method: str, path: str, body: Any = None) -> Any:
        """The same, waiting for the server."""
        deadline = time.monotonic() + 180
        while (found := self.ask(method, path, body)) is None and time.monotonic() < deadline:
            time.sleep(1)
        assert found is not None, f"Prefect's server does not answer at {self.api}"
        return found


def _end_gateway(folder: Path) -> None:
    """End the S3 server that a killed driver has left: it rewrites its environment, so that its mark cannot be read."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.name() == "juicefs" and f"--log {folder}/log" in " ".join(process.cmdline()):
                process.kill()
                process.wait(10)
