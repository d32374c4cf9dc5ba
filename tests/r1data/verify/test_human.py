"""Rows that a person wrote are verified like sampled ones: the right ones stay, the others leave with the reason."""

import json
from pathlib import Path

import polars as pl
import pytest

from r1data.data_params import HumanParams
from r1data.steps.problems import problem_id
from r1data.verify.human import HumanExamplesParams, human_drops, human_examples

CAPITAL = json.dumps({"answer": "B", "options": {"A": "Lyon", "B": "Paris", "C": "Rome"}})


@pytest.mark.parametrize(
    ("kind", "gold", "answer", "reason"),
    [
        ("math", "(x+1)^2", "x^2+2x+1", ""),
        ("math", "(x+1)^2", "x^2+1", "wrong_answer"),
        ("math", "7 apples", "7 apples", ""),
        ("math", "7 apples", "7 oranges", "units"),
        ("math", None, "7", "no_gold"),
        ("choice", CAPITAL, "B", ""),
        ("choice", CAPITAL, "C", "wrong_answer"),
        ("judged", "Ada", "Ada", "unverified"),
        ("general", None, "Hello", "unverified"),
    ],
)
def test_a_row_is_verified_by_its_problems_kind(
    tmp_path: Path, kind: str, gold: str | None, answer: str, reason: str
) -> None:
    path = tmp_path / "people.jsonl"
    row = {"question": "Well?", "reasoning": "so", "answer": answer, "reviewer": "Ada"}
    path.write_text(json.dumps(row), encoding="utf-8")
    about = {"problem_id": problem_id("Well?"), "split": "train", "kind": kind, "category": "c", "language": "en"}
    problems = pl.DataFrame([{**about, "answer": gold}], schema_overrides={"answer": pl.String})
    params = HumanExamplesParams(file=HumanParams(url=str(path), licence="CC0"), template="{question}")
    kept = human_examples(params=params, problems=problems)
    gone = human_drops(params=params, problems=problems, examples=kept)
    assert kept.height + gone.height == 1
    if reason in ("", "unverified"):
        assert kept["source"].to_list() == ["human, reviewed by Ada" + (reason and f", {reason}")]
    else:
        assert gone.select("gate", "reason", "value").rows() == [("human", reason, answer)]
    other = kept.clear() if kept.height else human_examples(params=params, problems=problems.clear())
    gone = human_drops(params=params, problems=problems, examples=other)
    assert gone.height == 1 - other.height, "what a verifier says the second time moves no row"
