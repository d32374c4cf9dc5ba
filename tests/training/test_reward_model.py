"""Reward models learn what was judged, hold out whole problems, and are read back from the lake."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from r1data.errors import RecipeError
from r1data.manifest import Manifest
from r1data.steps.preferences import preference, preferences_frame
from r1data.training_params import OptimizerParams, RewardModelParams
from training import reward_model
from training.job import Job
from training.reward_model import RewardModel, split_by_problem

PROMPT = "User: 1+1=? Assistant: "
OPTIMIZER = OptimizerParams(learning_rate=1e-2, warmup_steps=1, micro_batch=8)
HELPFUL = RewardModelParams(optimizer=OPTIMIZER, target="helpful", epochs=20, batch=8, max_length=64)
SAFE = HELPFUL.model_copy(update={"target": "safe"})


def candidate(completion: str) -> dict[str, str]:
    return {"candidate_id": completion, "problem_id": "", "prompt": PROMPT, "completion": completion}


def judged(workshop: Any, base: Manifest, params: RewardModelParams, count: int = 20) -> Job:
    rows = range(count)
    shared = {
        "problem_id": [f"p{i % 5}" for i in rows],
        "prompt": [PROMPT] * count,
        "judge": ["x"] * count,
    }
    good, bad = ["3"] * count, ["3!!!"] * count
    if params.target == "helpful":
        pairs = [
            {
                **preference(candidate("3"), candidate("3!!!"), 1.0, "x"),
                "pair_id": f"{i:03d}",
                "problem_id": f"p{i % 5}",
            }
            for i in rows
        ]
        data = workshop.dataset("pairs", "preferences", preferences_frame(pairs))
    else:
        labels = {
            "candidate_id": [f"{i:03d}" for i in rows],
            "safe": [i % 2 == 0 for i in rows],
            "reason": [""] * count,
        }
        texts = [g if i % 2 == 0 else b for i, (g, b) in enumerate(zip(good, bad, strict=True))]
        data = workshop.dataset("labels", "safety_labels", pl.DataFrame({**shared, **labels, "completion": texts}))
    job: Job = workshop.job(f"rm_{params.target}", "reward_model", params, {"init": base, "data": data})
    return job


@pytest.mark.parametrize("params", [HELPFUL, SAFE], ids=["helpful", "safe"])
def test_it_learns_what_was_judged(workshop: Any, base: Manifest, params: RewardModelParams) -> None:
    job = judged(workshop, base, params)
    reward_model.train(job)
    made = workshop.committed(job)
    metrics = pl.DataFrame(workshop.lake.read_table(f"{job.folder}/metrics.parquet"))
    assert metrics.filter(metric="held_out_accuracy")["value"].to_list() == [1.0]
    bins = pl.DataFrame(workshop.lake.read_table(f"{job.folder}/calibration.parquet"))
    assert bins["rows"].sum() == made.counts["rows_held_out"]
    assert bins["observed"].to_list() == [1.0 if low >= 0.5 else 0.0 for low in bins["low"]]
    good, bad = RewardModel(workshop.model(made), "float32").rewards([PROMPT + "3", PROMPT + "3!!!"])
    assert 0 <= bad < good <= 1


def test_problems_are_held_out_whole() -> None:
    problems = [f"p{i % 10}" for i in range(100)]
    learn, test = split_by_problem(problems, HELPFUL)
    assert {problems[i] for i in learn}.isdisjoint(problems[i] for i in test)
    assert sorted(np.concatenate([learn, test])) == list(range(100))
    assert len(test) == 20


def test_long_texts_are_read_to_their_end(workshop: Any, base: Manifest) -> None:
    job = judged(workshop, base, SAFE)
    reward_model.train(job)
    scorer = RewardModel(workshop.model(workshop.committed(job)), "float32")
    longer = "1" * 200
    assert scorer.rewards([longer + "!!!"]) != scorer.rewards([longer])


def test_empty_data_is_a_clear_error(workshop: Any, base: Manifest) -> None:
    with pytest.raises(RecipeError, match="0 rows are too few"):
        reward_model.train(judged(workshop, base, HELPFUL, 0))
