"""The process that owns killable workers: `python -m r1data.verify.worker_server WORKERS maths`, or `logic`.

It imports and warms its library once and forks workers from itself (20 ms instead of two seconds). A worker that
overruns its limits is killed and replaced; one that has answered many is replaced too. Lines of JSON in, [id, how,
gold, answer], and out, [id, outcome]; it ends when its input does.
"""

import gc
import json
import math
import os
import resource
import select
import signal
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from r1data.verify.algebra import outcome, peer_outcome, warm_up
from r1data.verify.scorers import score
from r1data.verify.scorers import warm_up as warm_up_scorers

CPU_SECONDS = 2
WALL_SECONDS = 10.0
EXTRA_MEMORY = 1 << 30
ANSWERS = 2_000
CHUNK = 1 << 16


WARM = {"maths": warm_up, "logic": warm_up_scorers}
HOWS: dict[str, Callable[[str, str], str]] = {"ours": outcome, "peer": peer_outcome, "logic": score}


@dataclass
class Worker:
    """A forked process and what it is at work on."""

    pid: int
    asked: int
    answers: int
    job: str | None = None
    deadline: float = math.inf
    told: int = 0

    def ask(self, job: str, request: list[str]) -> None:
        """Hand over one comparison."""
        self.job, self.deadline = job, time.monotonic() + WALL_SECONDS
        os.write(self.asked, (json.dumps(request) + "\n").encode())

    def end(self) -> None:
        """Kill and reap."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.asked)
        os.close(self.answers)


@dataclass
class Supervisor:
    """Workers, the requests that wait, and the bytes of an unfinished line."""

    workers: list[Worker] = field(default_factory=list)
    waiting: deque[tuple[str, str, str, str]] = field(default_factory=deque)
    rest: bytes = b""
    open: bool = True

    def serve(self, count: int) -> None:
        """Until the input ends and nothing is left to answer."""
        self.workers = [fork() for _ in range(count)]
        while self.open or self.waiting or any(w.job for w in self.workers):
            self._hand_out()
            watched = [w.answers for w in self.workers if w.job] + ([0] if self.open else [])
            soonest = min((w.deadline for w in self.workers), default=math.inf)
            patience = None if soonest == math.inf else max(0.0, soonest - time.monotonic())
            ready, _, _ = select.select(watched, [], [], patience)
            if 0 in ready:
                self._take()
            for i, worker in enumerate(self.workers):
                if worker.job and worker.answers in ready:
                    self._collect(i)
                elif worker.job and time.monotonic() >= worker.deadline:
                    self._replace(i, "timeout")
        for worker in self.workers:
            worker.end()

    def _take(self) -> None:
        data = os.read(0, CHUNK)
        self.open = bool(data)
        *lines, self.rest = (self.rest + data).split(b"\n")
        self.waiting.extend((str(i), how, g, a) for i, how, g, a in map(json.loads, lines))

    def _hand_out(self) -> None:
        for worker in self.workers:
            if self.waiting and worker.job is None:
                job, *request = self.waiting.popleft()
                worker.ask(job, request)

    def _collect(self, i: int) -> None:
        worker = self.workers[i]
        told = os.read(worker.answers, CHUNK)
        if not told:  # killed by a limit
            self._replace(i, "timeout" if _overran(worker) else "error")
            return
        _tell(worker.job, told.decode().strip())
        worker.job, worker.deadline, worker.told = None, math.inf, worker.told + 1
        if worker.told >= ANSWERS:
            worker.end()
            self.workers[i] = fork()

    def _replace(self, i: int, found: str) -> None:
        worker = self.workers[i]
        _tell(worker.job, found)
        if worker.pid:
            worker.end()
        else:
            os.close(worker.asked)
            os.close(worker.answers)
        self.workers[i] = fork()


def _overran(worker: Worker) -> bool:
    """Whether a worker that has gone was ended for its CPU time; it is reaped."""
    _, status = os.waitpid(worker.pid, 0)
    worker.pid = 0
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL)


def _tell(job: str | None, found: str) -> None:
    sys.stdout.write(json.dumps([job, found]) + "\n")
    sys.stdout.flush()


def fork() -> Worker:
    """A worker with this process's warm modules, limited in memory."""
    asked_out, asked_in = os.pipe()
    answers_out, answers_in = os.pipe()
    pid = os.fork()
    if pid:
        os.close(asked_out)
        os.close(answers_in)
        return Worker(pid, asked_in, answers_out)
    try:
        os.close(asked_in)
        os.close(answers_out)
        os.close(0)
        _limit_memory()
        _answer(asked_out, answers_in)
    finally:
        os._exit(1)


def _limit_memory() -> None:
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + EXTRA_MEMORY, now + EXTRA_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _answer(asked: int, answers: int) -> None:
    with os.fdopen(asked, encoding="utf-8") as lines:
        for line in lines:
            used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
            _, hard = resource.getrlimit(resource.RLIMIT_CPU)
            resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(used) + CPU_SECONDS, hard))
            how, gold, answer = json.loads(line)
            found = HOWS[how](gold, answer)
            os.write(answers, (found + "\n").encode())


def main() -> None:
    """Warm up, say so, serve."""
    WARM[sys.argv[2]]()
    gc.collect()
    gc.freeze()
    _tell(None, "ready")
    Supervisor().serve(int(sys.argv[1]))


if __name__ == "__main__":
    main()
