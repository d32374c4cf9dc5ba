"""`make up` and `make down`: database, Prefect server, a worker a pool and the reaper on this machine.

Their ids, ports and logs are in one folder (R1_UP, ./.up) with the database. `up` starts what does not run; `down` ends
these processes and all that they started, by id, and leaves the data.
"""

import fcntl
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from flows.environment import Operations, defaults
from flows.ops import postgres
from flows.ops.processes import MARK, Started, alive, end, last_lines, marked, running, start
from r1data.errors import StageFailed
from r1data.params import Params

READY_S = 180.0
ROUNDS = 3
POOLS = ("cpu", "gpu")
SQLITE = "WARNING: {}: Prefect gets SQLite, which locks under workers; for one person's look, not for the night"


class State(Params):
    """What is up: the mark in the environment of its processes, their ids, and the ports, kept for the next time."""

    mark: str
    port: int = 0
    database_port: int = 0
    processes: tuple[Started, ...] = ()


class Machine:
    """The processes of this machine, their state written down after every change."""

    def __init__(self, ops: Operations, say: Callable[[str], None] = print) -> None:
        self.ops = ops
        self.say = say
        self.file = ops.folder / "state.json"
        self.logs = ops.folder / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)
        there = self.file.exists()
        self.state = State.model_validate_json(self.file.read_bytes()) if there else State(mark=secrets.token_hex(8))

    @property
    def api(self) -> str:
        """The API of the server."""
        return f"http://127.0.0.1:{self.state.port}/api"

    def up(self, *, deployed: bool = False) -> None:
        """Start what does not run, deploy unless it is `deployed`, and say where to look."""
        self._change(port=self._port("server", self.state.port or self.ops.port))
        env = self._environment()
        env["PREFECT_API_DATABASE_CONNECTION_URL"] = self._database()
        command = ["server", "start", "--host", "127.0.0.1", "--port", str(self.state.port)]
        self._ensure("server", _prefect(*command), env)
        self._wait("server", lambda: _answers(f"{self.api}/health"))
        env.pop("PREFECT_API_DATABASE_CONNECTION_URL")
        if not deployed:
            self._deploy(env)
        for pool in POOLS:
            told = ["worker", "start", "--pool", pool, "--type", "process", "--name", f"{pool}-{socket.gethostname()}"]
            self._ensure(f"worker-{pool}", _prefect(*told), env)
        self._ensure("reaper", [sys.executable, "-m", "flows.ops", "reap"], env)
        self.say(_NEXT.format(ui=self.api.removesuffix("/api"), api=self.api, logs=self.logs))

    def _deploy(self, env: dict[str, str]) -> None:
        run = subprocess.run([sys.executable, "-m", "flows.ops", "deploy"], env=env, text=True, capture_output=True)
        if run.returncode:
            raise StageFailed(f"deploying failed:\n{(run.stdout + run.stderr)[-3000:]}", "mend prefect.yaml")

    def down(self) -> None:
        """End what is up: what runs flows first, so that it can tell the server; data and logs stay."""
        processes = {p.name: p for p in self.state.processes}
        last = [p for name in ("server", "postgres") if name in processes and (p := running(processes[name]))]
        if not (last or marked(self.state.mark)):
            self.say("nothing is up")
        kept = {p.pid for p in last} | {c.pid for p in last for c in p.children(recursive=True)}
        for _ in range(ROUNDS):  # a worker may have started another one meanwhile
            end([p for p in marked(self.state.mark) if p.pid not in kept])
        for process in last:
            if process.pid == processes.get("postgres", _NOBODY).pid:
                postgres.end(process)
            else:
                end([process, *process.children(recursive=True)])
        left = [*(p for p in last if alive(p)), *marked(self.state.mark)]
        if left:
            raise StageFailed(
                f"still running: {', '.join(str(p.pid) for p in left)}", "end them by kill -9 and their id"
            )
        for name in processes:
            self.say(f"ended    {name}")
        self._change(processes=())

    def _environment(self) -> dict[str, str]:
        home = self.ops.folder / "prefect"
        forced = {
            "PREFECT_HOME": str(home),
            "PREFECT_LOCAL_STORAGE_PATH": str(home / "storage"),
            "PREFECT_API_URL": self.api,
            "PREFECT_UI_API_URL": self.api,  # the port alone does not tell the interface
            # leases in memory, the default, are lost with the server, and their slots stay taken
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
            "PREFECT_WORKER_QUERY_SECONDS": "5",
            MARK: self.state.mark,
        }
        env = {**os.environ, **forced}
        defaults(home, env)
        return env

    def _database(self) -> str:
        """The database's URL, PostgreSQL started if this machine has it and nobody gave another."""
        if self.ops.database:
            return self.ops.database
        folder, programs = self.ops.folder / "postgres", postgres.binaries()
        why = "no PostgreSQL here" if programs is None else postgres.unreachable(folder, programs)
        if programs is None or why:
            self.say(SQLITE.format(why))
            return f"sqlite+aiosqlite:///{self.ops.folder}/prefect.db"
        password = postgres.prepare(programs, folder)
        self._change(database_port=self._port("postgres", self.state.database_port or 5433))
        port = self.state.database_port
        command = postgres.command(programs, folder, port)
        self._ensure("postgres", command, dict(os.environ), postgres.as_user())
        self._wait("postgres", lambda: postgres.ready(programs, port))
        return postgres.url(password, port)

    def _port(self, name: str, wanted: int) -> int:
        """The port that it has or had, or is to have, if nobody else listens there; else a free one."""
        if any(p.name == name and running(p) for p in self.state.processes):
            return wanted
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", wanted))
            except OSError:
                s.bind(("127.0.0.1", 0))
                self.say(f"{name}: port {wanted} is taken, {s.getsockname()[1]} instead")
            return int(s.getsockname()[1])

    def _ensure(
        self, name: str, command: Sequence[str], env: dict[str, str], user: dict[str, Any] | None = None
    ) -> None:
        known = {p.name: p for p in self.state.processes}
        if name in known and running(known[name]):
            self.say(f"running  {name}")
            return
        known[name] = start(name, command, env, self.logs, user)
        self._change(processes=tuple(known.values()))
        self.say(f"started  {name} (process {known[name].pid})")

    def _wait(self, name: str, ready: Callable[[], bool]) -> None:
        process = next(p for p in self.state.processes if p.name == name)
        deadline = time.monotonic() + READY_S
        while not ready():
            if not running(process) or time.monotonic() > deadline:
                raise StageFailed(f"{name} is not ready; its last lines:\n{last_lines(process)}", f"see {process.log}")
            time.sleep(0.5)

    def _change(self, **changes: object) -> None:
        self.state = self.state.model_copy(update=changes)
        new = self.file.with_suffix(".new")
        new.write_text(self.state.model_dump_json(indent=1), encoding="utf-8")
        new.replace(self.file)


@contextmanager
def locked(ops: Operations) -> Iterator[Machine]:
    """The machine, while no other `make up` or `make down` of this folder works on it."""
    ops.folder.mkdir(parents=True, exist_ok=True)
    with (ops.folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield Machine(ops)


def _prefect(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "prefect", *arguments]


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


_NOBODY = Started(name="", pid=-1, started=0, log="")
_NEXT = """
interface  {ui}
logs       {logs}
next       export PREFECT_API_URL={api}
           .venv/bin/prefect deployment run r1/recipe -p recipe=demo    run a recipe now
           .venv/bin/prefect deployment ls                              what else can be run
           make down                                                    end all of this; data stays
"""
