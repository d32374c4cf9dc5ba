"""What trainings take of memory, in processes of their own, is what the plan says."""

import pytest

from benchmarks.memory import CONFIG, CONTEXT, ROWS, measured
from r1data.shapes import shape_of
from r1data.sizing import Load, memory
from r1data.training_params import OptimizerParams

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.parametrize(("ranks", "stage", "again", "chunk"), [(1, 2, False, 0), (2, 3, True, 64)])
def test_memory_is_what_was_computed(ranks: int, stage: int, again: bool, chunk: int) -> None:
    told = OptimizerParams.model_validate(
        {"learning_rate": 1e-4, "zero_stage": stage, "micro_batch": ROWS}
        | {"gradient_checkpointing": again, "loss_chunk": chunk}
    )
    load = Load(shape_of(CONFIG), ranks, stage, "float32", CONTEXT, ROWS, again, chunk, runtime=0.0)
    assert 0.75 < measured(ranks, told) / memory(load).total < 1.25
