"""Multiple choice: letters, texts, both; several letters and contradictions are nobody's to judge."""

import json

import pytest

from r1data.rewards.choice import choice_verdict, read_choice

CITIES = json.dumps({"answer": "B", "options": {"A": "Lyon", "B": "Paris", "C": "Nice", "D": "2.5"}})


@pytest.mark.parametrize(
    ("answer", "verdict", "reason"),
    [
        ("B", "correct", ""),
        ("(B)", "correct", ""),
        ("b.", "correct", ""),
        ("B. Paris", "correct", ""),
        ("（B）巴黎", "correct", ""),
        ("选B", "correct", ""),
        ("选项 B", "correct", ""),
        ("Option B", "correct", ""),
        ("**B**", "correct", ""),
        (r"\text{B}", "correct", ""),
        ("paris", "correct", ""),
        ("The answer is B", "correct", ""),
        ("It is B, Paris", "correct", ""),
        ("A", "wrong", ""),
        ("C) Nice", "wrong", ""),
        ("Nice", "wrong", ""),
        (r"\frac{5}{2}", "wrong", "no_option"),
        ("Berlin", "wrong", "no_option"),
        ("E. Rome", "wrong", "no_option"),
        ("I think it is B", "correct", ""),
        ("A city in France: B", "correct", ""),
        ("B (Paris)", "correct", ""),
        ("B = Paris", "correct", ""),
        ("The answer is (b).", "correct", ""),
        ("答案是b", "correct", ""),
        ("The capital is Paris.", "correct", ""),
        ("not B", "wrong", "negated"),
        ("Anything but B", "wrong", "negated"),
        ("It is not Paris", "wrong", "negated"),
        ("B) or maybe A", "undecided", "several_letters"),
        ("B. A C D", "undecided", "several_letters"),
        ("Paris or Nice", "undecided", "several_letters"),
        ("A, B", "undecided", "several_letters"),
        ("A or B", "undecided", "several_letters"),
        ("B and C", "undecided", "several_letters"),
        ("B. Lyon", "undecided", "contradiction"),
    ],
)
def test_answers(answer: str, verdict: str, reason: str) -> None:
    found = choice_verdict(f"<think>hm</think><answer>{answer}</answer>", "stop", CITIES)
    assert (found.verdict, found.reason) == (verdict, reason), found


@pytest.mark.parametrize(
    ("completion", "finish", "gold", "verdict", "reason"),
    [
        ("<think>A? No.</think>So\n(B)", "stop", CITIES, "correct", ""),
        ("<think>A? No.</think>I do not know.", "stop", CITIES, "wrong", "no_answer"),
        ("<think>B B B", "length", CITIES, "wrong", "truncated"),
        ("<answer>B</answer>", "stop", "B", "correct", ""),
        ("<answer>B. anything</answer>", "stop", "b", "correct", ""),
        ("<answer>B</answer>", "stop", "", "undecided", "no_gold"),
        ("<answer>B</answer>", "stop", "Paris", "undecided", "unparseable_gold"),
        ("<answer>B</answer>", "stop", '{"answer": "X", "options": {"A": "1"}}', "undecided", "unparseable_gold"),
    ],
)
def test_completions_and_golds(completion: str, finish: str, gold: str, verdict: str, reason: str) -> None:
    found = choice_verdict(completion, finish, gold)
    assert (found.verdict, found.reason) == (verdict, reason), found


def test_a_letter_is_a_letter_even_where_options_are_letters() -> None:
    gold = json.dumps({"answer": "B", "options": {"A": "O", "B": "A", "C": "B", "D": "AB"}})
    assert choice_verdict("<answer>B</answer>", "stop", gold).verdict == "correct"
    units = json.dumps({"answer": "B", "options": {"A": "5 mW", "B": "5 MW"}})
    assert choice_verdict("<answer>5 MW</answer>", "stop", units).verdict == "correct"
    assert choice_verdict("<answer>5 mW</answer>", "stop", units).verdict == "wrong"


def test_gold_is_read_in_both_forms() -> None:
    for gold in ("c", "(C)", '{"answer": "c", "options": {"c": "x"}}'):
        choice = read_choice(gold)
        assert choice is not None, gold
        assert choice.answer == "C"
