"""Verdicts: three values, a reason where there is none to give, and a symbolic tier that cannot hang the run."""

import polars as pl
import pytest

from r1data.errors import CheckFailed
from r1data.verify import canaries
from r1data.verify.symbolic import symbolic_comparisons
from r1data.verify.verdicts import VerifyParams, verdicts

PROBLEMS = pl.DataFrame({"problem_id": ["p", "q", "r"], "answer": ["68", "x+1", None]})


def judged(problem: str, completion: str, finish: str = "stop") -> dict[str, str]:
    candidates = pl.DataFrame(
        {"candidate_id": ["c"], "problem_id": [problem], "completion": [completion], "finish_reason": [finish]}
    )
    row: dict[str, str] = verdicts(params=VerifyParams(), candidates=candidates, problems=PROBLEMS).to_dicts()[0]
    return row


@pytest.mark.parametrize(
    ("problem", "completion", "finish", "verdict", "reason"),
    [
        ("p", "<answer>68</answer>", "stop", "correct", ""),
        ("p", "<answer>67</answer>", "stop", "wrong", ""),
        ("p", "<think>so", "length", "wrong", "truncated"),
        ("p", "", "stop", "wrong", "no_answer"),
        ("r", "<answer>68</answer>", "stop", "undecided", "no_gold"),
        ("q", "<answer>1+x</answer>", "stop", "correct", ""),
        ("q", "<answer>2+x</answer>", "stop", "wrong", ""),
    ],
)
def test_verdict_and_reason(problem: str, completion: str, finish: str, verdict: str, reason: str) -> None:
    row = judged(problem, completion, finish)
    assert (row["verdict"], row["reason"]) == (verdict, reason)


def test_nasty_answer_is_undecided_and_the_next_is_judged() -> None:
    nasty, plain = ("9^{9^{9^9}}", "3"), ("x+1", "1+x")
    outcomes = symbolic_comparisons([nasty, plain])
    assert outcomes[nasty] in ("timeout", "error")
    assert outcomes[plain] == "equal"


def test_canaries_pass() -> None:
    canaries.check_canaries()


def test_broken_canary_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canaries, "CANARIES", (("<answer>1</answer>", "stop", "2", "correct"),))
    with pytest.raises(CheckFailed, match="came out wrong"):
        canaries.check_canaries()


def test_gold_health() -> None:
    assert canaries.gold_failures(["68", "1/2", ""]) == [""]
