"""Rewards and measures: pure, and never a number where nothing could be judged."""

import pytest

from r1data.rewards.format import answer_text, format_ok, summary, thought
from r1data.rewards.language import language_consistency, language_units
from r1data.rewards.maths import compare
from r1data.rewards.score import Scored, reflection_words, rule_verdict, score_completion
from r1data.training_params import RewardParams


def scored_of(text: str, gold: str, **values: float) -> Scored:
    return score_completion(text, "stop", rule_verdict(text, "stop", gold), "en", RewardParams(**values))


GOOD = "<think>3 plus 5 is 8</think>So 23+45=68.<answer>68</answer>"


@pytest.mark.parametrize(
    ("text", "finish", "ok"),
    [
        (GOOD, "stop", True),
        ("<think>a</think><answer>1</answer>", "stop", True),
        (GOOD, "length", False),
        ("<think></think><answer>1</answer>", "stop", False),
        ("<answer>1</answer>", "stop", False),
        ("<think>a</think>", "stop", False),
        ("x" + GOOD, "stop", False),
        (GOOD + GOOD, "stop", False),
    ],
)
def test_format(text: str, finish: str, ok: bool) -> None:
    assert format_ok(text, finish) is ok


def test_parts() -> None:
    assert thought(GOOD) == "3 plus 5 is 8"
    assert summary(GOOD) == "So 23+45=68. 68"
    assert summary("<think>never ends") == ""


@pytest.mark.parametrize(
    ("text", "answer", "how"),
    [
        (GOOD, "68", "answer_tag"),
        ("<answer>1</answer><answer>2</answer>", None, "several_answers"),
        ("<answer> </answer>", None, "no_answer"),
        ("It is 9 * 2 = <<9*2=18>>18\nA: 18", "18", "answer_is"),
        ("Answer: 18.", "18", "answer_is"),
        ("<think>a</think>So<answer>110+81=10.<answer>68</answer>", None, "nested_tags"),
        ("<answer>1</answer><answer>1</answer>", "1", "answer_tag"),
        (r"so \boxed{1} and \boxed{\frac{1}{2}}", r"\frac{1}{2}", "boxed"),
        ("The answer is 12.", "12", "answer_is"),
        ("答案：7", "7", "answer_is"),
        ("some words\n42", "42", "last_line"),
        ("<think>68</think>", None, "no_answer"),
        ("<think>the answer is 68", None, "no_answer"),
        ("", None, "no_answer"),
    ],
)
def test_answer_is_found_by_priority(text: str, answer: str | None, how: str) -> None:
    assert answer_text(text) == (answer, how)


@pytest.mark.parametrize(
    ("answer", "gold", "outcome"),
    [
        ("68", "68", "equal"),
        ("068", "68", "equal"),
        ("1,234", "1234", "equal"),
        ("0.5", "1/2", "equal"),
        (r"\frac{1}{2}", "0.5", "equal"),
        ("1 1/2", "3/2", "equal"),
        ("50%", "1/2", "equal"),
        ("1e-3", "0.001", "equal"),
        ("６８", "68", "equal"),
        ("1/3", "0.333333", "different"),
        ("67", "68", "different"),
        ("x+1", "1+x", "unknown"),
        ("1/0", "5", "unknown"),
        ("", "68", "unknown"),
        ("0,5", "0.5", "equal"),
        ("25 dollars", "25", "equal"),
        ("$18", "18", "equal"),
        ("12元", "12", "equal"),
        ("3 小时", "3", "equal"),
        ("答案：7", "7", "equal"),
        ("The answer is 7.", "7", "equal"),
        (r"\text{是}", "是", "equal"),
        (r"180^\circ", "180", "equal"),
        (r"\langle 1,2\rangle", "(1, 2)", "equal"),
        ("(1,2)", "(2,1)", "different"),
        (r"\{2,1\}", r"\{1, 2\}", "equal"),
        ("{1,2,3}", r"\{1, 2\}", "different"),
        ("(1,2]", "(1,2)", "unknown"),
        ("5 m", "5 km", "different"),
        ("5000 m", "5 km", "equal"),
        ("90 minutes", "1.5 hours", "equal"),
        ("3 kg", "3 m", "different"),
        ("7 apple", "7 apples", "equal"),
        ("7 apples", "7 oranges", "unknown"),
        ("6 apples", "7 oranges", "different"),
        ("5x", "5", "unknown"),
        ("5m", "5", "unknown"),
        ("2pi", "2", "unknown"),
        ("2 pi", "2", "unknown"),
        ("x = 5", "5", "equal"),
        ("50%", "50", "equal"),
        ("50%", "5", "different"),
        (r"1\frac12", "3/2", "equal"),
        (r"-\dfrac{3}{4}", "-0.75", "equal"),
        (r"1.5 \times 10^{3}", "1500", "equal"),
        ("10^3", "1,000", "equal"),
        ("1 000", "1000", "equal"),
        ("1/2^99", "1/2^98", "unknown"),
        ("Yes", "yes", "equal"),
        ("2X", "2x", "unknown"),
        ("1" * 3000, "2" * 3000, "unknown"),
        ("1" * 3000, "1" * 3000, "equal"),
    ],
)
def test_exact_comparison(answer: str, gold: str, outcome: str) -> None:
    assert compare(answer, gold) == outcome


def test_undecided_has_no_reward() -> None:
    scored = scored_of("<think>a</think><answer>x+1</answer>", "1+x")
    assert (scored.verdict, scored.reward) == ("undecided", None)
    assert "accuracy" not in scored.components


def test_no_gold_is_undecided() -> None:
    assert rule_verdict(GOOD, "stop", None).verdict == "undecided"


def test_reward_is_the_sum_of_its_components() -> None:
    scored = scored_of(GOOD, "68", language_weight=0.3)
    assert scored.components == {"accuracy": 1.0, "format": 0.2, "language": 0.3}
    assert scored.reward == pytest.approx(1.5)


def test_unmeasured_language_earns_nothing() -> None:
    text = "<think>3+5=8</think><answer>68</answer>"
    assert language_consistency("3+5=8", "en") is None
    scored = scored_of(text, "68", language_weight=0.3)
    assert scored.components["language"] == 0.0


@pytest.mark.parametrize(
    ("text", "en", "zh", "switches"),
    [
        ("three plus five", 3, 0, 0),
        ("三加五", 0, 3, 0),
        ("three 加 five", 2, 1, 2),
        ("`code words` and $latex x$ words", 2, 0, 0),
        ("a b c", 0, 0, 0),
    ],
)
def test_language_units(text: str, en: int, zh: int, switches: int) -> None:
    units = language_units(text)
    assert (units.en, units.zh, units.switches) == (en, zh, switches)


def test_reflection_words() -> None:
    assert reflection_words("wait, that is wrong. 等等, 再检查") == 4
    assert reflection_words(None) == 0
