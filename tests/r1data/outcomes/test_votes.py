"""Majority votes: by classes of equal answers, ties broken fairly, programs not voted on."""

import pytest

from r1data.outcomes.votes import majority


def voted(right: list[str], wrong: list[str | None], kind: str = "math", undecided: int = 0) -> float | None:
    verdicts = [("correct", a) for a in right] + [("wrong", a) for a in wrong] + [("undecided", "7")] * undecided
    return majority([{"verdict": v, "answer": a, "kind": kind} for v, a in verdicts])


@pytest.mark.parametrize(
    ("right", "wrong", "share"),
    [
        (["68", "68.0"], ["67"], 1.0),
        ([r"\frac{1}{2}", "0.5"], ["2", "2.0", "4/2"], 0.0),
        (["2"], ["3"], 1 / 2),
        (["2", "2"], ["3", "3", "4", "4"], 1 / 3),
        (["2"], [None, None, None], 1.0),
        ([], [None, "1"], 0.0),
        ([], [None], 0.0),
    ],
    ids=["value", "values of wrong ones", "tie", "tie of three", "no answer is no vote", "none right", "no votes"],
)
def test_votes(right: list[str], wrong: list[str | None], share: float) -> None:
    assert voted(right, wrong) == pytest.approx(share)


def test_correct_answers_are_one_class_however_they_are_spelt() -> None:
    assert voted(["x+1", "1+x", "(x+1)"], ["x", "x"]) == 1.0


def test_wrong_answers_that_are_equal_symbolically_vote_together() -> None:
    wrong: list[str | None] = ["x+2", "2+x", "x + 1 + 1"]
    assert voted(["x+1", "x+1"], wrong) == 0.0
    assert voted(["x+1", "x+1"], wrong, kind="logic") == 1.0


def test_undecided_ones_do_not_vote() -> None:
    assert voted(["2"], [], undecided=5) == 1.0
    assert voted([], [], undecided=5) is None


def test_programs_are_not_voted_on() -> None:
    assert voted(["print(1)"], [None], kind="code") is None
