"""Progress of sampling as lines: what a run says where there is no terminal, and what Prefect shows.

Watchers are called from the loop that samples, so they write a line at most and wait for nothing.
"""

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from math import isfinite

from r1data.progress import Progress, Watch
from r1data.spending import Spending

EVERY_S = 30.0
# A line of a training main (training.core) as a session reports it, under its node's name
TRAINED = re.compile(r"  (?P<node>\S+): step (?P<step>\d+)/(?P<steps>\d+)(?P<told>.*)")


@dataclass(frozen=True)
class Step:
    """How far a training is, and its metrics as it says them."""

    node: str
    step: int
    steps: int
    told: str


def training_step(line: str) -> Step | None:
    """The step that a reported line tells of; None for every other line."""
    found = TRAINED.fullmatch(line)
    if not found:
        return None
    return Step(found["node"], int(found["step"]), int(found["steps"]), found["told"].strip())


def progress_line(progress: Progress, cost: str) -> str:
    """One node's progress in a line; `cost` is of the whole run so far."""
    done = progress.ended is not None
    parts = (
        f"{progress.done}/{progress.expected} candidates",
        f"{progress.tokens_per_second:,.0f} tokens/s",
        f"{progress.accepted} accepted",
        f"{progress.undecided} undecided",
        f"{progress.truncated} truncated",
        cost,
        f"{progress.seconds:,.0f} s" if done else time_left(progress),
    )
    return f"  {progress.node}: {', '.join(parts)}"


def time_left(progress: Progress) -> str:
    """Until the node's sampling ends, at the rate so far."""
    left = progress.seconds_left
    return f"{max(0.0, left):,.0f} s left" if isfinite(left) else "waiting for the first answer"


def percent(progress: Progress) -> float:
    """Of the candidates that are expected, 0 to 100."""
    if not progress.expected:
        return 100.0 if progress.ended is not None else 0.0
    return min(100.0, 100.0 * progress.done / progress.expected)


def watched_by(*watches: Watch) -> Watch:
    """One watcher that passes on to several."""

    def watch(progress: Progress) -> None:
        for each in watches:
            each(progress)

    return watch


@dataclass
class PlainLines:
    """A line at a node's first call, then at most one in 30 s, and one at its end; for threads."""

    report: Callable[[str], None]
    spending: Spending
    every: float = EVERY_S
    _told: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def watch(self, progress: Progress) -> None:
        """Report the node's line if it is due."""
        if self._due(progress):
            self.report(progress_line(progress, self.spending.cost))

    def _due(self, progress: Progress) -> bool:
        now = time.monotonic()
        with self._lock:
            if progress.ended is not None:
                self._told.pop(progress.node, None)
                return True
            if now - self._told.get(progress.node, -self.every) < self.every:
                return False
            self._told[progress.node] = now
            return True
