"""The learning rate and the rows of a step follow from its number alone."""

from itertools import chain

import numpy as np
import pytest

from r1data.errors import RecipeError
from r1data.training_params import OptimizerParams
from training.schedule import batch_size, batches, learning_rate, steps_per_epoch

PARAMS = OptimizerParams(learning_rate=1.0, warmup_steps=10, final_fraction=0.1)
LENGTHS = np.random.default_rng(0).integers(5, 50, 37)


def test_rate_warms_up_linearly() -> None:
    flat = PARAMS.model_copy(update={"final_fraction": 1.0})
    assert [learning_rate(flat, s, 100) for s in (0, 4, 9, 50)] == pytest.approx([0.1, 0.5, 1.0, 1.0])


def test_rate_ends_at_its_final_fraction() -> None:
    assert learning_rate(PARAMS, 100, 100) == pytest.approx(0.1)
    assert learning_rate(PARAMS, 50, 100) == pytest.approx(0.55)


def test_every_row_is_in_every_epoch() -> None:
    per_epoch = steps_per_epoch(len(LENGTHS), 8)
    for epoch in range(2):
        rows = list(batches(LENGTHS, 8, 3, epoch * per_epoch, (epoch + 1) * per_epoch))
        assert set(chain.from_iterable(r.tolist() for r in rows)) == set(range(37))
        assert {len(r) for r in rows} == {8}


def test_a_resumed_run_sees_the_same_rows() -> None:
    whole = [r.tolist() for r in batches(LENGTHS, 8, 3, 0, 12)]
    assert [r.tolist() for r in batches(LENGTHS, 8, 3, 7, 12)] == whole[7:]


def test_epochs_differ() -> None:
    rows = [r.tolist() for r in batches(LENGTHS, 37, 3, 0, 2)]
    assert sorted(rows[0]) == sorted(rows[1])
    assert rows[0] != rows[1]


def test_rows_of_like_length_are_together() -> None:
    lengths = np.arange(64)[::-1].copy()
    spread = [int(np.ptp(lengths[r])) for r in batches(lengths, 8, 0, 0, 8)]
    assert max(spread) == 7


def test_batch_is_at_most_the_rows_and_divides_over_ranks() -> None:
    assert batch_size(100, 32, 2) == 32
    assert batch_size(7, 32, 2) == 6


def test_no_rows_are_a_clear_error() -> None:
    with pytest.raises(RecipeError, match="0 rows are too few"):
        batch_size(0, 32, 1)
