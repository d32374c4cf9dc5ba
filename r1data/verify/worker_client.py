"""Work that must be killable, as the rest of the library sees it: distinct requests in, outcomes out, no way to hang.

One `worker_server` for each kind of work and process, started when first needed and kept warm; threads take turns.
Requests of known outcome go first: a server that gets one wrong is not used.
"""

import atexit
import json
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import IO

from r1data.errors import CheckFailed

IN_FLIGHT = 64
Request = tuple[str, str, str]  # how, gold, answer


class Service:
    """A warm server of one kind of work and its canaries (outcome by request)."""

    def __init__(self, work: str, canaries: Mapping[Request, str], remedy: str) -> None:
        self.work, self.canaries, self.remedy = work, canaries, remedy
        self._lock = threading.Lock()
        self._running: subprocess.Popen[str] | None = None
        atexit.register(self.stop)

    def outcomes(self, requests: Iterable[Request]) -> dict[Request, str]:
        """The outcome of every distinct request; `error` for one that a fresh server dies of."""
        distinct = list(dict.fromkeys(requests))
        found: dict[Request, str] = {}
        left, stuck = distinct, 0
        with self._lock:
            while left:
                before = len(found)
                self._ask(left, found)
                left = [r for r in left if r not in found]
                stuck = stuck + 1 if len(found) == before else 0
                if left and stuck == 2:  # a fresh server, too, died of the first one without an answer
                    found[left[0]], stuck = "error", 0
                    left = left[1:]
        return {r: found[r] for r in distinct}

    def _ask(self, requests: list[Request], found: dict[Request, str]) -> None:
        """Ask until all have an outcome or the server ends."""
        asked, told = self._server()
        waiting, flying = deque(enumerate(requests)), 0
        try:
            while waiting or flying:
                while waiting and flying < IN_FLIGHT:
                    i, request = waiting.popleft()
                    asked.write(json.dumps([str(i), *request]) + "\n")
                    flying += 1
                asked.flush()
                line = told.readline()
                if not line:
                    raise BrokenPipeError
                i, outcome = json.loads(line)
                found[requests[int(i)]] = outcome
                flying -= 1
        except BrokenPipeError:
            self.stop()  # it may still be on its way out; the next attempt gets another

    def _server(self) -> tuple[IO[str], IO[str]]:
        """The pipes of a server that is ready."""
        if self._running is not None and self._running.poll() is not None:
            self.stop()
        if self._running is None:
            command = [sys.executable, "-m", "r1data.verify.worker_server", str(os.cpu_count() or 1), self.work]
            self._running = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            assert self._running.stdout is not None, "asked for"
            self._running.stdout.readline()  # imported and warm
            self._check()
        assert self._running.stdin is not None, "asked for"
        assert self._running.stdout is not None, "asked for"
        return self._running.stdin, self._running.stdout

    def _check(self) -> None:
        found: dict[Request, str] = {}
        self._ask(list(self.canaries), found)
        if found != self.canaries:
            self.stop()
            raise CheckFailed(f"{self.work} workers: {found} where {dict(self.canaries)} is known", self.remedy)

    def pid(self) -> int | None:
        """The process id of the server, where one runs: for those who watch its CPU time and memory."""
        return self._running.pid if self._running is not None else None

    def stop(self) -> None:
        """End the server; the next request starts another."""
        if self._running is not None:
            self._running.kill()
            self._running.wait()
            for pipe in (self._running.stdin, self._running.stdout):
                with suppress(BrokenPipeError):  # what it had not read yet
                    if pipe:
                        pipe.close()
            self._running = None
