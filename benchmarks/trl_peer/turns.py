"""Two sides that take turns on the same ranks: wall and CPU seconds of each turn, and what is told of them."""

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
import torch.distributed as dist


@dataclass
class Clock:
    """Seconds by side, a turn each: wall of the slowest rank, CPU of all ranks together."""

    wall: dict[str, list[float]] = field(default_factory=lambda: {"ours": [], "trl": []})
    cpu: dict[str, list[float]] = field(default_factory=lambda: {"ours": [], "trl": []})
    began: tuple[float, float] = (0.0, 0.0)

    def begin(self) -> None:
        """All ranks at once."""
        dist.barrier()
        self.began = (time.perf_counter(), time.process_time())

    def end(self, side: str) -> None:
        """What this rank took since `begin`, put together with the others'."""
        mine = torch.tensor([time.perf_counter() - self.began[0], time.process_time() - self.began[1]])
        every = [torch.zeros(2) for _ in range(dist.get_world_size())]
        dist.all_gather(every, mine)
        self.wall[side].append(max(float(t[0]) for t in every))
        self.cpu[side].append(sum(float(t[1]) for t in every))

    @contextmanager
    def turn(self, side: str) -> Iterator[None]:
        """Measure what is inside."""
        self.begin()
        yield
        self.end(side)


def ratios(clock: Clock, warm: int) -> dict[str, str]:
    """Medians after `warm` turns, and theirs / ours of neighbouring turns: median and range."""
    told = {}
    for name, seconds in (("wall", clock.wall), ("CPU", clock.cpu)):
        ours, theirs = seconds["ours"][warm:], seconds["trl"][warm:]
        each = [t / o for o, t in zip(ours, theirs, strict=True)]
        told[f"{name} s ours"] = f"{statistics.median(ours):.2f}"
        told[f"{name} s TRL"] = f"{statistics.median(theirs):.2f}"
        told[f"{name} ratio"] = f"{statistics.median(each):.2f} ({min(each):.2f}-{max(each):.2f})"
    return told
