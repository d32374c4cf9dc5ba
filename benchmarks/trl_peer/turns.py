"""Two sides that take turns on the same ranks: TRL's loop, and after each of its turns ours; seconds of both.

What both comparisons have in common: the clock, TRL's callback, and how either side shards over the ranks.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from transformers import TrainerCallback


@dataclass(frozen=True)
class Stages:
    """ZeRO's stage of each side; 0 is DDP with TRL, and with ours what DeepSpeed does without ZeRO."""

    ours: int
    trl: int

    def __str__(self) -> str:
        return f"ours ZeRO-{self.ours}, TRL {f'ZeRO-{self.trl}' if self.trl else 'DDP'}"

    def for_trl(self) -> dict[str, Any]:
        """What its configuration is told: DDP, or accelerate's plugin for DeepSpeed, with DeepSpeed's own defaults."""
        if not self.trl:
            return {"ddp_find_unused_parameters": False}
        batch = ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps")
        told = {**dict.fromkeys((*batch, "gradient_clipping"), "auto"), "zero_optimization": {"stage": self.trl}}
        return {"deepspeed": {**told, "zero_allow_untested_optimizer": True, "steps_per_print": 10**9}}


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


class Turns(TrainerCallback):  # type: ignore[misc]
    """Hooked into TRL's loop: notes what it logs, and gives ours its turn after each of TRL's."""

    updates = 1  # TRL's in a turn

    def __init__(self) -> None:
        self.clock = Clock()
        self.logged, self.told = list[dict[str, float]](), list[dict[str, float]]()

    def turn(self, number: int) -> Callable[[], dict[str, float]]:
        """Our turn, prepared: what is done here is on nobody's clock."""
        raise NotImplementedError

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The first turn is TRL's."""
        self.clock.begin()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Loss and gradient's norm of an update."""
        if "loss" in logs:
            self.logged.append({k: float(logs[k]) for k in ("loss", "grad_norm")})

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """After the last update of TRL's turn: ours."""
        if state.global_step % self.updates:
            return
        self.clock.end("trl")
        ours = self.turn(state.global_step // self.updates - 1)
        with self.clock.turn("ours"):
            told = ours()
        self.told.append(told)
        self.clock.begin()


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
