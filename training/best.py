"""The best weights of a run so far, by the mean of a metric over a row of steps: a file beside the saved states."""

import math
import os
from contextlib import nullcontext
from pathlib import Path

import deepspeed
import torch
import torch.distributed as dist
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from r1data.errors import RecipeError, StorageError, boundary
from r1data.training_params import KeepParams
from training.core import NO_ROOM, VOLATILE, Trainer, Weights
from training.keeper import BEST


class Best:
    """Keeps nothing where the recipe keeps the last weights. Made after `Trainer.resume`; collective."""

    def __init__(self, trainer: Trainer, params: KeepParams) -> None:
        self.trainer, self.params = trainer, params
        self.path = trainer.scratch / BEST
        self.found = None if params.policy == "last" else self._of_first_rank()  # (step, value) of the best so far
        self.look()  # a run that was stopped at the end of a row had saved its state and not come to this

    def due(self, step: int) -> bool:
        """Whether a row of steps ends with this one."""
        return self.params.policy == "best" and step > 0 and step % self.params.window == 0

    def look(self) -> None:
        """After a step: at the end of every window, keep the weights if they are the best; collective.

        A window without the metric, or where it is no number, is passed over.
        A run that was killed in between keeps the same ones when it does those steps again.
        """
        step, window = self.trainer.step, self.params.window
        if not self.due(step):
            return
        metric, metrics = self.params.metric, self.trainer.metrics
        if metric in VOLATILE or not any(metric in m for m in metrics):
            known = ", ".join(sorted({name for m in metrics for name in m} - {"step", *VOLATILE}))
            raise RecipeError(f"keep.metric {metric!r}: no measure of what is learnt here", f"one of {known}")
        values = [m[metric] for m in metrics[-window:] if metric in m]
        value = sum(values) / len(values) if values else math.nan
        sign = -1 if self.params.lower else 1
        if math.isnan(value) or (self.found is not None and sign * self.found[1] >= sign * value):
            return
        weights = self.trainer.gathered()
        if self.trainer.rank == 0:
            with boundary(StorageError, f"{self.path}: the best weights could not be kept", NO_ROOM):
                _write(self.path, weights, {"step": str(step), "value": repr(value)})
        self.found = step, value

    @torch.no_grad()
    def restore(self) -> None:
        """Give the model the best weights, if any were kept, for good: the optimiser's stay the last; collective."""
        if self.found is None:
            return
        if self.trainer.world > 1:
            dist.barrier()  # rank 0 has written them
        read = self.trainer.rank == 0 or self.trainer.params.zero_stage < 3
        with boundary(StorageError, f"{self.path}: the best weights could not be read", "run again"):
            weights = load_file(str(self.path)) if read else {}
        for name, parameter in self.trainer.engine.module.named_parameters():
            sharded = hasattr(parameter, "ds_id")
            with deepspeed.zero.GatheredParameters([parameter], modifier_rank=0) if sharded else nullcontext():
                if read:
                    parameter.copy_(weights[name])

    def _of_first_rank(self) -> tuple[int, float] | None:
        """What the run has kept so far: rank 0 looks, since it may soon write there; collective."""
        box = [_told(self.path) if self.trainer.rank == 0 else None]
        if self.trainer.world > 1:
            dist.broadcast_object_list(box)
        return box[0]

    def counts(self) -> dict[str, int]:
        """For the manifest: the step that the weights are of."""
        return {"best_step": self.found[0]} if self.found else {}


def _told(path: Path) -> tuple[int, float] | None:
    if not path.exists():
        return None
    with safe_open(str(path), "pt") as f:
        told = f.metadata()
    return int(told["step"]), float(told["value"])


def _write(path: Path, weights: Weights, told: dict[str, str]) -> None:
    """Whole or not at all."""
    beside = path.with_name(f".{path.name}")
    save_file({n: w.contiguous() for n, w in weights.items()}, str(beside), metadata=told)
    with beside.open("rb") as f:
        os.fsync(f.fileno())
    beside.replace(path)
