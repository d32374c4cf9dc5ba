"""Measures: rows keep to their candidates, what cannot be measured is null with a reason, statistics are Gopher's."""

import random
import re
import subprocess
import sys
from collections import Counter

import numpy as np
import polars as pl
import pytest

from r1data.gate_params import GateParams
from r1data.params import Params
from r1data.rewards.language import encoded
from r1data.steps.gates import DropsParams, drops, missed
from r1data.steps.measures import BATCH, measured, measures
from r1data.steps.repetition import repeated_characters, repetitions, words
from schemas.generation import REPETITIONS
from tests.r1data.rewards.labelled import labelled

GOOD = "<think>3 plus 5 is 8, then 2 plus 4 plus 0 is 6</think>So 23+45=68.<answer>68</answer>"
ABOUT = pl.DataFrame({"problem_id": ["p", "q"], "language": ["en", "zh"]})


def candidates(completions: list[str | None]) -> pl.DataFrame:
    number = len(completions)
    return pl.DataFrame(
        {
            "candidate_id": [f"c{i}" for i in range(number)],
            "problem_id": ["p" if i % 2 else "q" for i in range(number)],
            "completion": completions,
            "prompt": ["?"] * number,
            "sample_index": list(range(number)),
            "finish_reason": ["stop"] * number,
            "completion_tokens": [7] * number,
        },
        schema_overrides={"completion": pl.String},
    )


def test_nulls_in_the_middle_move_no_row() -> None:
    texts = [GOOD, None, "", GOOD.replace("plus", "加"), None, "<think>3+5=8</think>", "x" * 20]
    found = measures(params=Params(), candidates=candidates(texts), problems=ABOUT).to_dicts()
    assert [r["candidate_id"] for r in found] == [f"c{i}" for i in range(len(texts))]
    assert [r["unmeasured"] for r in found] == [
        *("", "no_completion", "no_thought", "", "no_completion", "no_words", "no_thought")
    ]
    for i, (row, text) in enumerate(zip(found, texts, strict=True)):
        alone = measured(text, "stop", "en" if i % 2 else "zh")
        assert {k: row[k] for k in alone} == alone
        assert row["characters"] == (None if text is None else len(text))


@pytest.mark.parametrize(
    ("language", "consistency", "why"),
    [("EN", 1.0, ""), ("en-US", 1.0, ""), ("English", None, "unknown_language"), (None, None, "unknown_language")],
)
def test_an_unknown_language_is_undecided(language: str | None, consistency: float | None, why: str) -> None:
    usual = measured(GOOD, "stop", "en")
    row = measured(GOOD, "stop", language)
    assert (row["language_consistency"], row["unmeasured"], row["language"]) == (consistency, why, language or "")
    assert row["longest_foreign_run"] == (None if why else 0)
    assert row["units_en"] == usual["units_en"] > 0
    assert measured("<think>3+5=8</think>", "stop", language)["unmeasured"] == "no_words"
    judged = {"verdict": "correct", "reason": "", "completion_tokens": 9}
    miss = missed(GateParams(language_consistency=1.0), {**judged, **row})
    assert miss == (("language", "unmeasured", "None") if why else None)


def test_null_completions_leave_by_their_own_reason() -> None:
    made = candidates([GOOD, None, GOOD.replace("then", "so")])
    verdicts = made.select("candidate_id").with_columns(
        verdict=pl.lit("correct"), reason=pl.lit(""), share=pl.lit(None, pl.Float64), speed=pl.lit(None, pl.Float64)
    )
    told = measures(params=Params(), candidates=made, problems=ABOUT)
    gone = drops(params=DropsParams(language_consistency=None), candidates=made, verdicts=verdicts, measures=told)
    assert gone.select("row_id", "gate", "reason").rows() == [("c1", "measures", "no_completion")]


def test_many_rows_equal_rows_alone() -> None:
    texts: list[str | None] = [f"<think>{s.text}</think>So it is.<answer>1</answer>" for s in labelled()]
    found = measures(params=Params(), candidates=candidates(texts), problems=ABOUT).to_dicts()
    for i, (row, text) in enumerate(zip(found, texts, strict=True)):
        assert {k: v for k, v in row.items() if k in measured(None, "stop", "en")} == measured(
            text, "stop", "en" if i % 2 else "zh"
        )


@pytest.mark.parametrize(
    ("completion", "stated"),
    [
        (GOOD, True),
        (GOOD.replace("=68.", "=67."), False),
        ("<think>a</think>It is 168.<answer>68</answer>", False),
        ("<think>a</think>所以得68。<answer>68</answer>", True),
        ("<think>a</think><answer>68</answer>", None),
        ("<think>a</think>So", None),
    ],
)
def test_whether_the_summary_states_the_answer(completion: str, stated: bool | None) -> None:
    assert measured(completion, "stop", "en")["answer_in_summary"] is stated


@pytest.mark.parametrize(
    ("completion", "present"),
    [
        (GOOD, True),
        ("<think>x</think><answer>cat</answer>", False),
        ("<think>x</think><answer>cat", False),
        ("<think>x</think> 42. </answer>", False),
        ("<think>x</think>So<answer>5</answer>", True),
        ("<think>x</think><answer>5</answer>是五", True),
        ("No tags", True),
        ("", False),
    ],
)
def test_a_summary_is_what_stands_beside_the_answer(completion: str, present: bool) -> None:
    assert measured(completion, "stop", "en")["summary_present"] is present


@pytest.mark.parametrize(
    ("text", "paragraphs", "longest"),
    [
        ("", 1, 0),
        ("ab", 1, 2),
        ("ab\ncd", 1, 5),
        ("ab\n\ncde", 2, 3),
        ("ab\n\n\ncd", 2, 3),
        ("ab\n\n\n\ncd", 3, 2),
        ("ab\r\n\r\ncde", 2, 3),
        ("ab\r\ncd", 1, 6),
        ("ab\n \t\ncde", 2, 3),
        ("ab\n cd", 1, 6),
        ("ab\n \n\n\ncd", 3, 2),
        ("\r\n\r\n".join(["a line"] * 10), 10, 6),
        ("\n  \n".join(["a line"] * 10), 10, 6),
    ],
)
def test_paragraphs_end_at_lines_without_text(text: str, paragraphs: int, longest: int) -> None:
    row = measured(text, "stop", "en")
    assert (row["paragraphs"], row["longest_paragraph"]) == (paragraphs, longest)


def test_paragraphs_of_plain_text_are_those_of_a_split() -> None:
    rng = random.Random(0)
    for _ in range(300):
        text = "".join(rng.choice(("a", "bc", "\n", "\n\n", " ")) for _ in range(rng.randint(0, 30)))
        text = re.sub(r"\n +", "\n", text)
        pieces = text.split("\n\n")
        row = measured(text, "stop", "en")
        assert (row["paragraphs"], row["longest_paragraph"]) == (len(pieces), max(map(len, pieces)))
        # a blank in each empty line changes nothing
        blank = measured(" \r\n\t\r\n".join(p.replace("\n", "\r\n") for p in pieces), "stop", "en")
        assert blank["paragraphs"] == len(pieces)


def test_paragraphs_of_blanks_take_no_quadratic_time() -> None:
    assert measured("\n" + " \t\r" * 1_000_000 + "a", "stop", "en")["paragraphs"] == 1


def test_characters_of_code_and_maths() -> None:
    row = measured("<think>so `abc` and $x+1$</think><answer>1</answer>", "stop", "en")
    assert (row["code_chars"], row["math_chars"], row["paragraphs"]) == (5, 5, 1)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Hello, world_1!", ["Hello", ",", "world_1", "!"]),
        ("你好 ですか", ["你", "好", "で", "す", "か"]),
        ("안녕하세요 친구", ["안녕하세요", "친구"]),
        ("привет, e\u0301te\u0301", ["привет", ",", "e\u0301te\u0301"]),
        ("3.14 ...", ["3", ".", "14", "..."]),
        (" \n", []),
    ],
)
def test_words_of_version_1(text: str, found: list[str]) -> None:
    assert words(text) == found


def gopher(text: str) -> dict[str, float]:
    """The statistics of a text by their definition, on the product's words."""
    said, found = words(text), {}
    for name, pieces in (
        ("line", text.split("\n")),
        ("para", text.split("\n\n")),
    ):
        repeats = [p for i, p in enumerate(pieces) if p in pieces[:i]]
        found[f"dup_{name}_frac"] = len(repeats) / len(pieces)
        found[f"dup_{name}_char_frac"] = sum(map(len, repeats)) / len(text)
    for n in (2, 3, 4):
        grams = Counter(" ".join(said[i : i + n]) for i in range(len(said) - n + 1))
        most = max(grams.values(), default=0)
        found[f"top_{n}_gram"] = next((len(g) * c / len(text) for g, c in grams.items() if c == most), 0.0)
    for n in range(5, 11):
        seen: set[str] = set()
        i = total = 0
        while i + n <= len(said):
            gram = "\0".join(said[i : i + n])
            total += (len(gram) - n + 1) * (gram in seen)
            i += n if gram in seen else 1
            seen.add(gram)
        found[f"duplicated_{n}_n_grams"] = total / len(text)
    return found


@pytest.mark.parametrize(
    "text",
    [
        "one two three one two three one two three four five six seven",
        "a line here\nanother line\na line here\nthe end of it",
        "加五得八再加五得八再加五得八再加五得八再加五得八。",
        "これはペンです。これはペンです。これはペンです。",
        "x y z " * 40,
        "nothing is said twice",
    ],
)
def test_statistics_are_gopher_s(text: str) -> None:
    found = dict(zip(REPETITIONS, repetitions(*encoded([text.strip()]))[0].tolist(), strict=True))
    assert found == pytest.approx(gopher(text.strip()))


def test_no_words_no_statistics() -> None:
    assert np.isnan(repetitions(*encoded(["", "a", " \n"]))).all(axis=1).tolist() == [True, False, True]


@pytest.mark.parametrize(("text", "least", "most"), [("", 0, 0), ("short", 0, 0), ("abcdefgh" * 50, 0.9, 1)])
def test_repetition(text: str, least: float, most: float) -> None:
    assert least <= repeated_characters(*encoded([text]))[0] <= most


@pytest.mark.parametrize("text", ["abcdefgh" * 50, "你好 " * 30, "3 plus 5 is 8, then 2 plus 4 is 6"])
def test_repetition_counts_character_8_grams(text: str) -> None:
    grams = [text[i : i + 8] for i in range(len(text) - 7)]
    assert repeated_characters(*encoded([text]))[0] == 1 - len(set(grams)) / len(grams)


def test_ten_megabytes_of_a_loop() -> None:
    row = measured("<think>" + "one more time " * 700_000 + "</think><answer>1</answer>", "stop", "en")
    assert row["repetition"] > 0.99
    assert row["duplicated_10_n_grams"] > 0.75


def test_torn_tags_take_no_quadratic_time() -> None:
    assert measured("<think>" * 400_000, "length", "en")["unmeasured"] == "no_thought"


MEMORY = """
import random, resource
from r1data.steps.measures import measured
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
measured("<think>a b</think>x<answer>1</answer>", "stop", "en")
words = ["".join(random.choices("abcdefgh", k=6)) for _ in range(50_000)]
text = "<think>" + " ".join(random.choices(words, k=1_400_000)) + "</think>1<answer>1</answer>"
before = peak()
assert measured(text, "stop", "en")["format_ok"]
print(len(text), peak() - before)
"""


def test_ten_megabytes_take_a_bounded_multiple_of_memory() -> None:
    told = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True, timeout=120)
    characters, mebibytes = map(int, told.stdout.split())
    assert characters > 9_000_000
    assert mebibytes < 400  # 1,200 by a regular expression's stack alone


def test_rows_that_no_one_thought_of_keep_their_place() -> None:
    odd = [
        "",
        "\x00\x1f",
        "\u202e<think>ꦲꦏ꧀ꦱꦫ</think>",
        "<think>𐎠𐎡𐎢 ᠮᠣᠩᠭᠣᠯ</think>",
        "\U0010ffff",
        "👩‍👩‍👧" * 99,
        "<think>ab\n\n" * 999,
    ]
    texts: list[str | None] = [t for o in odd for t in (o, None, GOOD)]
    found = measures(params=Params(), candidates=candidates(texts), problems=ABOUT).to_dicts()
    assert [r["candidate_id"] for r in found] == [f"c{i}" for i in range(len(texts))]
    for i, (row, text) in enumerate(zip(found, texts, strict=True)):
        alone = measured(text, "stop", "en" if i % 2 else "zh")
        assert {k: row[k] for k in alone} == alone
        assert row["unmeasured"] == "no_completion" if text is None else row["characters"] == len(text)
    assert measured("<think>a\ud800b and so</think>\udfff", "stop", "en")["units_en"] == 2


def test_pieces_of_a_table_are_all_rows_once() -> None:
    texts: list[str | None] = [None, GOOD, "x" * BATCH, None, "", GOOD * (BATCH // 200), None, GOOD]
    found = measures(params=Params(), candidates=candidates(texts), problems=ABOUT)
    assert found["candidate_id"].to_list() == [f"c{i}" for i in range(len(texts))]
    assert found["characters"].to_list() == [None if t is None else len(t) for t in texts]
    none = measures(params=Params(), candidates=candidates([]), problems=ABOUT)
    assert (none.height, none.columns) == (0, found.columns)
