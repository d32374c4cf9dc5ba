"""One job on one zygote: descriptors made, children started, output collected under a cap, what came of it as data."""

import fcntl
import json
import os
import select
import time
from dataclasses import dataclass, field
from typing import Any

from r1data.sandbox.jail import Died, Zygote

CHUNK = 1 << 16
KILL_SECONDS = 10.0
MOST_LINES = 20_000


@dataclass(frozen=True)
class Limits:
    """Of one job. The wall limit is generous: CPU time is what a busy machine does not change."""

    cpu_seconds: int = 5
    wall_seconds: float = 20.0
    memory_bytes: int = 512 << 20
    output_bytes: int = 1 << 20


@dataclass
class Ran:
    """What a child left behind: output, what it told, and how it ended. `stopped`: "", "timeout" or "output_limit"."""

    out: str = ""
    err: str = ""
    told: list[dict[str, Any]] = field(default_factory=list)
    exit: int = 0
    cpu_seconds: float = 0.0
    stopped: str = ""

    @property
    def parses(self) -> bool | None:
        """Whether the program parses: told first, before any of it ran; None where it did not come to that."""
        first = self.told[0].get("parses") if self.told else None
        return first if type(first) is bool else None

    def tells(self, key: str) -> Any:
        """The last value told under a key, or None."""
        return next((line[key] for line in reversed(self.told) if key in line), None)


class _Child:
    """Our side of a child at work: what it wrote so far."""

    def __init__(self, number: int, readers: list[int]) -> None:
        self.number = number
        self.collected = {r: bytearray() for r in readers}
        self.open = set(readers)
        self.ended: dict[str, Any] | None = None
        self.stopped = ""

    def take(self, reader: int, cap: int) -> bool:
        """Read what is there; False when it is more than the cap."""
        data = os.read(reader, CHUNK)
        if not data:
            self.open.discard(reader)
        self.collected[reader] += data
        return len(self.collected[reader]) <= cap

    def ran(self, cap: int) -> Ran:
        out, err, told = (bytes(self.collected[r][:cap]) for r in self.collected)
        assert self.ended is not None, "asked only then"
        text = out.decode(errors="replace"), err.decode(errors="replace")
        return Ran(*text, _lines(told), self.ended["exit"], self.ended["cpu"], self.stopped)


class Runner:
    """Runs jobs on a zygote, several children at a time where they belong together."""

    def __init__(self, zygote: Zygote) -> None:
        self.zygote = zygote
        self._started = 0

    def run(self, jobs: list[dict[str, Any]], limits: Limits, stdin: str = "") -> list[Ran]:
        """The outcome of every job, all started together; a pair is connected, calls one way and replies the other.

        Raises `Died` when the jail does; the job may then be tried again on another.
        """
        pipes = _crossed() if len(jobs) > 1 else [[] for _ in jobs]
        children: list[_Child] = []
        try:
            while pipes:
                children.append(self._start(jobs[len(children)], pipes.pop(0), limits, stdin))
            self._watch(children, limits)
            return [c.ran(limits.output_bytes) for c in children]
        finally:
            for descriptor in (*(r for c in children for r in c.collected), *(d for pair in pipes for d in pair)):
                os.close(descriptor)

    def _start(self, job: dict[str, Any], crossing: list[int], limits: Limits, stdin: str) -> _Child:
        self._started += 1
        pipes = [os.pipe() for _ in range(3)]
        given = [_sealed(stdin.encode(errors="replace")), _sealed(json.dumps(job).encode())]
        writers = [w for _, w in pipes]
        descriptors = [given[0], writers[0], writers[1], given[1], writers[2], *crossing]
        asked = {"number": self._started, "cpu": limits.cpu_seconds, "memory": limits.memory_bytes}
        try:
            self.zygote.send(asked, descriptors)
        except Died:
            for reader, _ in pipes:
                os.close(reader)
            raise
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        return _Child(self._started, [r for r, _ in pipes])

    def _watch(self, children: list[_Child], limits: Limits) -> None:
        """Until all have ended or are stopped."""
        by_reader = {r: c for c in children for r in c.open}
        poll = select.poll()
        for reader in (*by_reader, self.zygote.control.fileno()):
            poll.register(reader, select.POLLIN)
        deadline = time.monotonic() + limits.wall_seconds
        while any(c.open or c.ended is None for c in children):
            left = deadline - time.monotonic()
            if left <= -KILL_SECONDS:
                raise Died("a killed child did not end")
            if left <= 0:
                self._stop(children, "timeout")
            for ready, _ in poll.poll(max(left, 0.1) * 1000 + 1):
                if ready not in by_reader:
                    self._note(children)
                    continue
                child = by_reader[ready]
                if not child.take(ready, limits.output_bytes):
                    self._stop(children, "output_limit")
                if ready not in child.open:
                    poll.unregister(ready)

    def _note(self, children: list[_Child]) -> None:
        told = self.zygote.told()
        if "failed" in told:
            raise Died(told["failed"])
        for child in children:
            if child.number == told["number"]:
                child.ended = told

    def _stop(self, children: list[_Child], why: str) -> None:
        for child in children:
            if child.ended is None and not child.stopped:
                child.stopped = why
                self.zygote.send({"kill": child.number}, [])


def _crossed() -> list[list[int]]:
    """For a pair of children: [write, read] of each, the one's writes being the other's reads."""
    (a, b), (c, d) = os.pipe(), os.pipe()
    return [[b, c], [d, a]]


def _sealed(content: bytes) -> int:
    """A descriptor to read `content` from, that nobody can change."""
    made = os.memfd_create("given", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    left = memoryview(content)
    while left:
        left = left[os.write(made, left) :]
    os.lseek(made, 0, os.SEEK_SET)
    fcntl.fcntl(
        made, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
    )
    return made


def _lines(told: bytes) -> list[dict[str, Any]]:
    """The lines that are JSON objects; the rest is nothing that our side of the wall wrote."""
    found: list[dict[str, Any]] = []
    for line in filter(None, told.split(b"\n", MOST_LINES)[:MOST_LINES]):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            found.append(value)
    return found
