"""The learning rate and the rows of every step, from the step's number alone: what makes a resumed run exact."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from r1data.errors import RecipeError
from r1data.training_params import OptimizerParams

POOL = 8

Rows = np.ndarray[Any, Any]


def learning_rate(params: OptimizerParams, step: int, total: int) -> float:
    """Linear warm-up, then cosine to `final_fraction` of the rate at the last step (paper B.4.2)."""
    warm = min(1.0, (step + 1) / max(1, params.warmup_steps))
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, total))))
    return params.learning_rate * warm * (params.final_fraction + (1 - params.final_fraction) * cosine)


def batch_size(rows: int, wanted: int, ranks: int) -> int:
    """The wanted batch, or all rows where there are fewer; a multiple of the ranks. `RecipeError` without rows."""
    size = min(wanted, rows) // ranks * ranks
    if size == 0:
        raise RecipeError(f"{rows} rows are too few to train on {ranks} rank(s)", "more data or fewer ranks")
    return size


def steps_per_epoch(rows: int, batch: int) -> int:
    """Batches in an epoch; the last is filled up from the epoch's beginning, so that no row is left out."""
    return -(-rows // batch)


def batches(lengths: Rows, batch: int, seed: int, first: int, total: int) -> Iterator[Rows]:
    """The rows of steps first..total-1: a seeded order of each epoch, rows of like length together."""
    per_epoch = steps_per_epoch(len(lengths), batch)
    epoch, order = -1, list[Rows]()
    for step in range(first, total):
        if step // per_epoch != epoch:
            epoch = step // per_epoch
            order = _epoch(lengths, batch, np.random.default_rng([seed, epoch]))
        yield order[step % per_epoch]


def _epoch(lengths: Rows, batch: int, rng: np.random.Generator) -> list[Rows]:
    order = rng.permutation(len(lengths))
    order = np.resize(order, steps_per_epoch(len(order), batch) * batch)
    found = []
    for i in range(0, len(order), batch * POOL):
        rows = order[i : i + batch * POOL]
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        found += [rows[j : j + batch] for j in range(0, len(rows), batch)]
    return [found[i] for i in rng.permutation(len(found))]
