"""Difficulty: counts by problem, the stopping rule replayed with the gates, null where nothing can be said."""

from typing import Any

import polars as pl
import pytest

from r1data.digest import row_id
from r1data.gate_params import GateParams
from r1data.outcomes.difficulty import DifficultyParams, difficulty
from r1data.params import Params
from r1data.recipe import load_recipe
from r1data.sampling_params import SamplingParams
from r1data.stages import graph
from r1data.steps.measures import measures
from schemas import TABLES

CHAIN = {"en": "three plus five is eight", "zh": "三加五得八就是八"}
FIXED = SamplingParams(samples=4, temperature=1.0)
EARLY = SamplingParams(samples=2, stop_at=1, max_samples=6, temperature=1.0)


def sampled(**problems: str) -> dict[str, pl.DataFrame]:
    """Tables of problems by their samples: A accepted, R right in the wrong language, W wrong, T cut, - undecided."""
    rows = [(p, i, outcome) for p, outcomes in problems.items() for i, outcome in enumerate(outcomes)]
    verdict = {"A": "correct", "R": "correct", "-": "undecided"}
    candidates = pl.DataFrame(
        {
            "candidate_id": [f"{p}-{i}" for p, i, _ in rows],
            "problem_id": [p for p, _, _ in rows],
            "completion": [f"<think>{CHAIN['zh' if o == 'R' else 'en']}</think><answer>8</answer>" for *_, o in rows],
            "sample_index": [i for _, i, _ in rows],
            "finish_reason": ["length" if o == "T" else "stop" for *_, o in rows],
            "completion_tokens": [10 + i for _, i, _ in rows],
            "model": ["m"] * len(rows),
            "model_digest": ["d"] * len(rows),
        }
    )
    verdicts = candidates.select("candidate_id").with_columns(
        verdict=pl.Series([verdict.get(o, "wrong") for *_, o in rows], dtype=pl.String), reason=pl.lit("")
    )
    about = pl.DataFrame({"problem_id": list(problems), "language": ["en"] * len(problems)})
    measured = measures(params=Params(), candidates=candidates, problems=about)
    return {"candidates": candidates, "verdicts": verdicts, "measures": measured}


def found(sampling: SamplingParams, **problems: str) -> dict[str, dict[str, Any]]:
    frame = difficulty(params=DifficultyParams(sampling=sampling, gate=GateParams()), **sampled(**problems))
    TABLES["difficulty"].conform(frame.to_arrow())
    return {row["problem_id"]: row for row in frame.to_dicts()}


def test_counts_of_a_problem() -> None:
    row = found(FIXED, p="AR-T")["p"]
    counts = ("asked", "accepted", "correct", "wrong", "undecided", "truncated")
    assert [row[c] for c in counts] == [4, 1, 2, 1, 1, 1]
    assert row["pass_rate"] == pytest.approx(2 / 3)
    assert 0 < row["low"] < 2 / 3 < row["high"] < 1
    assert row["completion_tokens"] == 11.5
    assert row["difficulty_id"] == row_id("difficulty", "p", "d")


def test_the_stopping_rule_counts_what_passes_the_gates() -> None:
    rows = found(EARLY, easy="AW", long="RRWWWA")
    assert EARLY.next_round(2, 0) == 4
    assert rows["easy"]["pass_rate"] == pytest.approx(1 / 2)
    assert rows["long"]["accepted"] == 1
    # the first sample was rejected, or it would have stopped there; two of the five rejected are right
    assert rows["long"]["pass_rate"] == pytest.approx(2 / 5)


def test_what_cannot_be_said_is_null() -> None:
    undecided, changed = found(EARLY, p="--", q="WW").values()
    assert (undecided["pass_rate"], undecided["low"], undecided["high"]) == (None, None, None)
    assert changed["pass_rate"] is None
    assert changed["high"] is not None


def test_an_empty_shard_has_no_problems() -> None:
    assert found(FIXED) == {}


def test_both_rejection_samplings_have_the_table() -> None:
    recipe = load_recipe("smoke")
    nodes = {n.name: n for n in graph(recipe) if n.step.name == "difficulty"}
    assert set(nodes) == {"cold_start/difficulty", "sft_mix/difficulty"}
    params = nodes["sft_mix/difficulty"].params
    assert isinstance(params, DifficultyParams)
    assert (params.sampling, params.gate) == (recipe.sft_mix.sampling, recipe.sft_mix.gate.thresholds)
