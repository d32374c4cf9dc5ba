"""The best weights of a run so far, by the mean of a metric over a row of steps: a file beside the saved states."""

import os
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file, save_file

from r1data.errors import RecipeError, StorageError, boundary
from r1data.training_params import KeepParams
from training.core import NO_ROOM, Trainer, Weights
from training.keeper import BEST


class Best:
    """Keeps nothing where the recipe keeps the last weights."""

    def __init__(self, trainer: Trainer, params: KeepParams) -> None:
        self.trainer, self.params = trainer, params
        self.path = trainer.scratch / BEST

    def look(self) -> None:
        """After a step: at the end of every window, keep the weights if they are the best; collective.

        A run that was killed in between keeps the same ones when it does those steps again.
        """
        step, window = self.trainer.step, self.params.window
        if self.params.policy == "last" or step % window:
            return
        last = self.trainer.metrics[-window:]
        values = [m[self.params.metric] for m in last if self.params.metric in m]
        if not values:
            known = ", ".join(sorted(last[-1]))
            raise RecipeError(
                f"keep.metric {self.params.metric!r}: the last {window} steps have none", f"one of {known}"
            )
        value = sum(values) / len(values)
        found = self.found()
        if found is not None and found[1] >= value:
            return
        weights = self.trainer.gathered()
        if self.trainer.rank == 0:
            with boundary(StorageError, f"{self.path}: the best weights could not be kept", NO_ROOM):
                _write(self.path, weights, {"step": str(step), "value": repr(value)})

    def found(self) -> tuple[int, float] | None:
        """(step, value) of the best so far."""
        if self.params.policy == "last" or not self.path.exists():
            return None
        with safe_open(str(self.path), "pt") as f:
            told = f.metadata()
        return int(told["step"]), float(told["value"])

    def weights(self) -> Weights | None:
        """Those that the checkpoint is made of, or None: the last."""
        return load_file(str(self.path)) if self.found() else None

    def counts(self) -> dict[str, int]:
        """For the manifest: the step that the weights are of."""
        found = self.found()
        return {"best_step": found[0]} if found else {}


def _write(path: Path, weights: Weights, told: dict[str, str]) -> None:
    """Whole or not at all."""
    beside = path.with_name(f".{path.name}")
    save_file({n: w.contiguous() for n, w in weights.items()}, str(beside), metadata=told)
    with beside.open("rb") as f:
        os.fsync(f.fileno())
    beside.replace(path)
