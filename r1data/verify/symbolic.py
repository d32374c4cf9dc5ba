"""The symbolic tier as the rest of the library sees it: distinct pairs in, outcomes out, and no way to hang.

One `algebra_server` for the whole process, started when first needed and kept warm; threads take turns. Pairs of known
outcome go first: a server that gets one wrong is not used.
"""

import atexit
import json
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from typing import IO, Literal

from r1data.errors import CheckFailed
from r1data.verify.algebra import Outcome

LONGEST = 2_000
IN_FLIGHT = 64
# (gold, answer): an identity, rounding that math-verify does, and no number at all
CANARIES: "dict[Pair, Outcome]" = {
    ("x+1", "1+x"): "equal",
    (r"\frac{1}{2^{98}}", r"\frac{1}{2^{99}}"): "different",
    (r"2\sqrt{2}", r"\sqrt{8}"): "equal",
    ("5", "x"): "different",
}
_LOCK = threading.Lock()
_running: "subprocess.Popen[str] | None" = None

Pair = tuple[str, str]
How = Literal["ours", "peer"]


def symbolic_comparisons(pairs: Iterable[Pair], how: How = "ours") -> dict[Pair, Outcome]:
    """The outcome of every distinct (gold, answer) pair; `peer`: math-verify alone, on whole answer texts."""
    distinct = list(dict.fromkeys(pairs))
    outcomes: dict[Pair, Outcome] = {p: "unparseable_answer" for p in distinct if max(map(len, p)) > LONGEST}
    left = [p for p in distinct if p not in outcomes]
    with _LOCK:
        stuck = 0
        while left:
            before = len(outcomes)
            _ask(left, outcomes, how)
            left = [p for p in left if p not in outcomes]
            stuck = stuck + 1 if len(outcomes) == before else 0
            if left and stuck == 2:  # a fresh server, too, died of the first one without an answer
                outcomes[left[0]], stuck = "error", 0
                left = left[1:]
    return {p: outcomes[p] for p in distinct}


def _ask(pairs: list[Pair], outcomes: dict[Pair, Outcome], how: How = "ours") -> None:
    """Ask until all have an outcome or the server ends."""
    asked, told = _server()
    waiting, flying = deque(enumerate(pairs)), 0
    try:
        while waiting or flying:
            while waiting and flying < IN_FLIGHT:
                i, (gold, answer) = waiting.popleft()
                asked.write(json.dumps([str(i), how, gold, answer]) + "\n")
                flying += 1
            asked.flush()
            line = told.readline()
            if not line:
                raise BrokenPipeError
            i, found = json.loads(line)
            outcomes[pairs[int(i)]] = found
            flying -= 1
    except BrokenPipeError:
        stop()  # it may still be on its way out; the next attempt gets another


def _server() -> tuple[IO[str], IO[str]]:
    """The pipes of a server that is ready."""
    global _running
    if _running is not None and _running.poll() is not None:
        stop()
    if _running is None:
        command = [sys.executable, "-m", "r1data.verify.algebra_server", str(os.cpu_count() or 1)]
        _running = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert _running.stdout is not None, "asked for"
        _running.stdout.readline()  # imported and warm
        _check_canaries()
    assert _running.stdin is not None, "asked for"
    assert _running.stdout is not None, "asked for"
    return _running.stdin, _running.stdout


def _check_canaries() -> None:
    outcomes: dict[Pair, Outcome] = {}
    _ask(list(CANARIES), outcomes)
    if outcomes != CANARIES:
        stop()
        raise CheckFailed(
            f"symbolic verifier: {outcomes} where {CANARIES} is known",
            "math-verify or sympy behave differently here: install the versions of constraints.txt",
        )


def server_pid() -> int | None:
    """The process id of the server, where one runs: for those who watch its CPU time and memory."""
    return _running.pid if _running is not None else None


@atexit.register
def stop() -> None:
    """End the server; the next comparison starts another."""
    global _running
    if _running is not None:
        _running.kill()
        _running.wait()
        for pipe in (_running.stdin, _running.stdout):
            with suppress(BrokenPipeError):  # what it had not read yet
                if pipe:
                    pipe.close()
        _running = None
