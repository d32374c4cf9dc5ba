"""math-verify in a worker process: killed when it overruns its wall time, capped in memory, started again when needed.

Its own time-out neither works in threads nor tells failure from "wrong", so it is switched off. Gold comes first: the
comparison is not symmetric.
"""

import multiprocessing as mp
import resource
from collections.abc import Iterable
from multiprocessing.connection import Connection
from typing import Literal

Outcome = Literal["equal", "different", "unparseable_gold", "unparseable_answer", "timeout", "error"]
WALL_SECONDS = 3.0
MEMORY_BYTES = 2 << 30
LONGEST = 2_000


def symbolic_comparisons(pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Outcome]:
    """The outcome of every distinct (gold, answer) pair."""
    outcomes: dict[tuple[str, str], Outcome] = {}
    worker: _Worker | None = None
    try:
        for pair in dict.fromkeys(pairs):
            if max(map(len, pair)) > LONGEST:
                outcomes[pair] = "unparseable_answer"
                continue
            worker = worker or _Worker()
            outcomes[pair] = worker.ask(pair)
            if outcomes[pair] in ("timeout", "error"):
                worker.end()
                worker = None
    finally:
        if worker:
            worker.end()
    return outcomes


class _Worker:
    """One process and its pipe."""

    def __init__(self) -> None:
        context = mp.get_context("spawn")  # the parent may hold threads
        self.pipe, child = context.Pipe()
        self.process = context.Process(target=_serve, args=(child,), daemon=True)
        self.process.start()
        child.close()
        self.pipe.poll(60)
        self.pipe.recv()  # imported and ready

    def ask(self, pair: tuple[str, str]) -> Outcome:
        try:
            self.pipe.send(pair)
            if not self.pipe.poll(WALL_SECONDS):
                return "timeout"
            outcome: Outcome = self.pipe.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return "error"
        return outcome

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _serve(pipe: Connection) -> None:
    from math_verify import parse, verify

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    pipe.send("ready")
    while True:
        gold, answer = pipe.recv()
        pipe.send(_compare(gold, answer, parse, verify))


def _compare(gold: str, answer: str, parse: object, verify: object) -> Outcome:
    assert callable(parse), "math_verify.parse"
    assert callable(verify), "math_verify.verify"
    try:
        g = parse(f"${gold}$", parsing_timeout=None) or parse(gold, parsing_timeout=None)
        a = parse(f"${answer}$", parsing_timeout=None) or parse(answer, parsing_timeout=None)
        if not g:
            return "unparseable_gold"
        if not a:
            return "unparseable_answer"
        return "equal" if verify(g, a, timeout_seconds=None, raise_on_error=True) else "different"
    except (ValueError, TypeError, ArithmeticError, RecursionError, MemoryError, AttributeError, NotImplementedError):
        return "error"
