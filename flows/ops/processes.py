"""Processes that outlive the command that starts them: known by id, by start time, and by a mark in their environment.

An id alone may be another process by now. The mark is inherited by all that they start, so that what lost its parent is
found too (PostgreSQL's own children, which hide it, end with it).
"""

import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from r1data.params import Params

MARK = "R1_UP_ID"
TERM_S, KILL_S = 20.0, 10.0


class Started(Params):
    """A process of ours: its id, when the kernel started it (seconds since 1970), its log."""

    name: str
    pid: int
    started: float
    log: str


def start(
    name: str, command: Sequence[str], env: Mapping[str, str], folder: Path, user: Mapping[str, Any] | None = None
) -> Started:
    """Start a command in a session of its own, its output at the end of `folder/NAME.log`."""
    log = folder / f"{name}.log"
    with log.open("ab") as out:
        process = subprocess.Popen(
            command,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **(user or {}),
        )
    return Started(name=name, pid=process.pid, started=psutil.Process(process.pid).create_time(), log=str(log))


def running(process: Started) -> psutil.Process | None:
    """The process, if it is still the one that was started."""
    with suppress(psutil.Error):
        found = psutil.Process(process.pid)
        if abs(found.create_time() - process.started) < 1 and found.status() != psutil.STATUS_ZOMBIE:
            return found
    return None


def marked(mark: str) -> list[psutil.Process]:
    """Every process of this user that carries the mark."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def end(processes: Sequence[psutil.Process], patience_s: float = TERM_S) -> None:
    """SIGTERM, then SIGKILL to what is left; returns when all have ended."""
    for process in processes:
        with suppress(psutil.Error):
            process.terminate()
    for process in _left(processes, patience_s):
        with suppress(psutil.Error):
            process.kill()
    _left(processes, KILL_S)


def _left(processes: Sequence[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Those that have not ended in that time; one that only nobody has waited for has."""
    deadline = time.monotonic() + seconds
    while (left := [p for p in processes if alive(p)]) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def alive(process: psutil.Process) -> bool:
    """Whether it runs: neither gone, nor another of the same id, nor a zombie."""
    with suppress(psutil.Error):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def last_lines(process: Started, lines: int = 15) -> str:
    """The end of its log."""
    log = Path(process.log)
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    return "\n".join(text.splitlines()[-lines:])
