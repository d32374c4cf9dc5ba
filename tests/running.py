"""Runs of a recipe as a user starts them, in processes of their own, killed where a line says so."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from r1data.generate.candidates import Desk
from r1data.refs import list_refs, resolve
from r1data.storage import Lake

COMMAND = "from r1data.cli import main; main()"


def environment(scratch: Path, extra: dict[str, str] | None = None) -> dict[str, str]:
    """The fake engine unless `extra` says otherwise."""
    return {**os.environ, "R1_ENGINE": "fake", "R1_SCRATCH": str(scratch), "OMP_NUM_THREADS": "1", **(extra or {})}


def desk(lake: Lake) -> Desk:
    """What nodes that ask a model share, its scratch beside the lake."""
    return Desk(lake, Path(lake.root).with_name("desk"), print)


def start(
    arguments: list[str], lake: str, scratch: Path, extra: dict[str, str] | None = None
) -> "subprocess.Popen[str]":
    """`r1 ARGUMENTS --lake LAKE`, its lines as one stream."""
    return subprocess.Popen(
        [sys.executable, "-u", "-c", COMMAND, *arguments, "--lake", lake],
        env=environment(scratch, extra),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(
    arguments: list[str], lake: str, scratch: Path, extra: dict[str, str] | None = None, seconds: int = 800
) -> tuple[int, str]:
    """Exit status and lines of a run that was waited for."""
    with start(arguments, lake, scratch, extra) as process:
        out, _ = process.communicate(timeout=seconds)
    return process.returncode, out


def run(arguments: list[str], lake: str, scratch: Path, extra: dict[str, str] | None = None) -> str:
    """The lines of a run that has to end well."""
    status, out = ended(arguments, lake, scratch, extra)
    assert status == 0, out[-3000:]
    return out


def digests(lake: Lake) -> dict[str, str]:
    """The content of every ref."""
    return {ref: resolve(lake, ref).digest for ref in list_refs(lake)}


def kill_at(mark: str, process: "subprocess.Popen[str]") -> None:
    """kill -9 when a line says so; the children must go with their parent."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if mark in line:
            break
    assert mark in "".join(seen[-1:]), "".join(seen[-20:])
    children = children_of(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    process.stdout.close()
    wait_until(lambda: not any(Path(f"/proc/{c}").exists() for c in children), 20)


def wait_until(holds: Callable[[], bool], seconds: float) -> None:
    """Look again and again; it has to hold in time."""
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert holds()


def members(group: int) -> list[int]:
    """Processes of a group that still run."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(int(entry.parent.name))
    return found


def children_of(pid: int) -> list[int]:
    """Those that it has now."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # a thread that has just ended
            found += [int(child) for child in task.read_text().split()]
    return found
