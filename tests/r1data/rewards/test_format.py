"""The parts of a completion by plain searches are those that regular expressions would find, in any torn text."""

import random
import re

import pytest

from r1data.rewards.format import answer_in, answer_in_summary, answer_text, format_ok, summary, thought
from r1data.rewards.score import reflection_words

SEEDS = range(1_500)
TAGS = ("<think>", "</think>", "<answer>", "</answer>", "<thi", "nk>", "<|", "<pad>", "</s>", "a < b", "<")
PIECES = (
    *(
        "\n",
        "\n\n",
        "\r\n",
        "\x85",
        " ",
        "_",
        "1",
        "2",
        "3.5",
        "a",
        "é",
        "\u0301",
        "²",
        "١",
        "\ud800",
        "\x00",
        "😀",
        "は",
    ),
    *("wait", "Wait", "WAİT", "mıstake", "miſtake", "checK", "but", "retry", "error", "等", "检查", "错", "and so"),
)
_ANY = r"(?:[^<]|<(?!/?(?:think|answer|pad|s|unk|bos|eos)>|\|))"
FORMAT = re.compile(rf"<think>{_ANY}+</think>{_ANY}*<answer>{_ANY}+</answer>")
REFLECTION = re.compile(
    r"\b(?:wait|mistake|however|but|retry|error|verify|wrong|evaluate|check)\b|等等?|检查|错", re.IGNORECASE
)
GOOD = "<think>it is 68</think>So 68.<answer>68</answer>"


def torn(seed: int) -> str:
    """Tags, words and odd characters in any order; every other one near the pattern."""
    rng = random.Random(seed)

    def some() -> str:
        return "".join(rng.choice(TAGS if rng.random() < 0.1 else PIECES) for _ in range(rng.randint(0, 9)))

    if seed % 2:
        return some() + rng.choice(TAGS) + some() + rng.choice(TAGS) + some()
    return (
        f"<think>{some()}</think>{some()}<answer>{rng.choice(('1', '2', some()))}</answer>{rng.choice(('', ' ', 'x'))}"
    )


def outside(text: str) -> str:
    closed = re.sub(r"<think>.*?</think>", "", text, flags=re.DOTALL)
    return re.sub(r"<think>.*\Z", "", closed, flags=re.DOTALL)


def folded(text: str) -> str:
    return re.sub(r"(\d)\.0+(?!\d)(?![.,]\d)", r"\1", re.sub(r"(\d),(?=\d\d\d(?:\D|\Z))", r"\1", text))


def stated(text: str) -> bool | None:
    """By one expression; of the letters in `PIECES`, kana and Han are no part of a word."""
    said, answer = re.sub(r"<answer>.*?</answer>", " ", outside(text), flags=re.DOTALL), answer_text(text)[0]
    said = re.sub(r"</?(?:think|answer)>", " ", re.sub(r"<answer>.*", "", said, flags=re.DOTALL))
    if not answer or not any(c.isalnum() for c in said):
        return None
    word, answer = r"(?![_は等检查错])\w", folded(answer)
    left, right = (re.match(word, edge) is not None for edge in (answer[0], answer[-1]))
    before = r"(?<!\d)" + r"(?<![^\W_は等检查错])(?<!-)(?<!\d[.,])(?<!\s\.)(?<!\A\.)" * left
    behind = r"(?!\d)" + rf"(?!{word}|[.,]\d|-{word})" * right
    return re.search(before + re.escape(answer) + behind, folded(said)) is not None


def test_parts_are_those_of_regular_expressions() -> None:
    formats = []
    for text in map(torn, SEEDS):
        formats.append(FORMAT.fullmatch(text.strip()) is not None)
        chain = re.search(r"<think>(.*?)</think>", text, re.DOTALL)
        assert format_ok(text, "stop") == formats[-1], text
        assert thought(text) == (chain.group(1).strip() if chain else None), text
        assert summary(text) == outside(text).replace("<answer>", " ").replace("</answer>", "").strip(), text
        assert answer_in_summary(text) == stated(text), text
    assert 100 < sum(formats) < len(SEEDS) / 2, "both kinds are among them"


def test_reflection_is_that_of_a_regular_expression() -> None:
    texts = [torn(seed) for seed in SEEDS]
    # every character of the first plane in the place of a letter, before, and behind
    texts += [f"{c}wait{c}but m{c}stake chec{c}" for c in map(chr, range(0x10000))]
    assert [t for t in texts if reflection_words(t) != len(REFLECTION.findall(t))] == []


@pytest.mark.parametrize(
    ("said", "answer", "found"),
    [
        ("1111", "11", False),
        ("111 11", "11", True),
        ("2a2a2", "2a2", False),
        ("12a2a23", "2a2", False),
        ("٣5", "5", False),
        ("1.5", "5", False),
        ("5.2", "5", False),
        (".5", "5", False),
        ("1,500", "500", False),
        ("1,500", "1500", True),
        ("1500", "1,500", True),
        ("1,000,000 in all", "1000000", True),
        ("1,2000", "2000", False),
        ("$18.00", "18", True),
        ("18.05", "18", False),
        ("-5", "5", False),
        ("\u22125", "5", False),
        ("-5", "-5", True),
        ("it is 5, or so", "5", True),
        ("a 5-digit one", "5", False),
        ("it is 5 - no less", "5", True),
        ("Because", "B", False),
        ("AB", "B", False),
        ("(B)", "B", True),
        ("**B**", "B", True),
        ("x5", "5", False),
        ("5²", "5", False),
        ("所以得68个", "68", True),
        ("답은 68입니다", "68", True),
        ("это Париж", "Париж", True),
        ("Парижский", "Париж", False),
        ("so \\boxed{5}", "5", True),
    ],
)
def test_a_stated_answer_is_no_part_of_a_number(said: str, answer: str, found: bool) -> None:
    assert answer_in_summary(f"<think>x</think>{said}.<answer>{answer}</answer>") is found


def test_an_empty_answer_is_stated_nowhere() -> None:
    assert answer_in_summary(r"<think>x</think>So \boxed{}") is None
    assert answer_in_summary("<think>x</think>So<answer> </answer>") is None


@pytest.mark.parametrize("length", [3, 30, 50, 400])
@pytest.mark.parametrize("piece", ["a1", "(1", "(", "1", "a b ", "1(("])
def test_places_within_an_answer_are_seen(piece: str, length: int) -> None:
    answer = (piece * length)[:length].strip()
    for said in ("1" + answer, "1" + answer * 3 + "1", "1(" + answer, f"1{answer} {answer}1", f"1{answer} {answer}"):
        text = f"<think>x</think>so {said}.<answer>{answer}</answer>"
        assert answer_in_summary(text) == stated(text), said


@pytest.mark.parametrize("piece", ["a1", "(1", "1", "((", "é", "1(", ",000", ".0"])
def test_an_answer_of_a_megabyte_takes_no_quadratic_time(piece: str) -> None:
    answer = piece * 250_000
    assert answer_in_summary(f"<think>x</think>so 1{answer}{answer}1<answer>{answer}?</answer>") is False
    assert answer_in_summary(f"<think>x</think>so 1{answer}{answer}1<answer>{answer}</answer>") in (True, False)
    assert answer_in_summary(f"<think>x</think>so 1{answer}1<answer>{piece}</answer>") in (True, False)


def test_the_last_line_that_says_it_counts_in_a_long_text() -> None:
    lines = "The answer is 1\n" + "so\r\nand so\n" * 30_000
    assert answer_in(lines) == ("1", "answer_is")
    assert answer_in(lines + "The answer is 2\n" + "x" * 70_000) == ("2", "answer_is")


@pytest.mark.parametrize("mark", ["<|", "<pad>", "</s>", "<think>", "</answer>"])
def test_a_special_token_anywhere_breaks_the_pattern(mark: str) -> None:
    assert format_ok(GOOD, "stop")
    assert not any(format_ok(GOOD[:i] + mark + GOOD[i:], "stop") for i in range(len(GOOD) + 1))
