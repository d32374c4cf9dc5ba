"""Decontamination: every planted case is found and none else, with the item and the text; no row moves."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from r1data.cleaning_params import DecontaminationParams
from r1data.recipe import SourceParams
from r1data.steps.decontaminate import (
    ExamplesParams,
    benchmark,
    contaminated,
    contaminated_candidates,
    contaminated_examples,
    decontaminated,
    decontaminated_examples,
)
from r1data.steps.ngrams import scan
from r1data.steps.problems import ProblemsParams, problem_drops, problems
from schemas import TABLES
from tests.r1data.steps.texts import HAN, KANA, characters, code, problem_row, prose

PARAMS = DecontaminationParams()
ENGLISH, SOLUTION, PROGRAM = prose(1), prose(2), code(3)
CHINESE, JAPANESE, THAI = characters(4, HAN), characters(5, KANA), characters(6, "กขคงจฉชซฌญดตถทธนบปผฝพฟ")
HELD_OUT = [
    problem_row("b-english", ENGLISH, "eval", metadata=json.dumps({"solution": SOLUTION})),
    problem_row("b-code", f"Write it.\n{prose(7)}", "benchmark", kind="code", answer=json.dumps({"solution": PROGRAM})),
    problem_row("b-chinese", CHINESE, "eval"),
    problem_row("b-japanese", JAPANESE, "benchmark"),
    problem_row("b-thai", THAI, "eval"),
    problem_row("b-short", "What is 3 + 5 in base seven?", "eval"),
    problem_row("b-tiny", "2+2=?", "eval"),
    problem_row("b-empty", "", "eval"),
    problem_row("b-mark", "?", "eval"),
    problem_row("b-unreadable", prose(8), "eval", kind="code", answer="{"),
]


def run_of(text: str, first: int, count: int) -> str:
    return " ".join(text.split()[first : first + count])


PLANTED = {
    "whole": (ENGLISH, "ngram", "b-english"),
    "ten words": (f"{prose(20)} {run_of(ENGLISH, 30, 10)} {prose(21)}", "ngram", "b-english"),
    "other case and marks": (f"So: {run_of(ENGLISH, 5, 12).upper().replace(' ', ', ')}!", "ngram", "b-english"),
    "full width": (run_of(ENGLISH, 0, 11).translate({c: c + 0xFEE0 for c in range(97, 123)}), "ngram", "b-english"),
    "invisible characters": (run_of(ENGLISH, 0, 11).replace("a", "a\u200b"), "ngram", "b-english"),
    "solution": (f"{prose(22)}\n{run_of(SOLUTION, 10, 15)}", "ngram", "b-english"),
    "program": (f"Look:\n{PROGRAM}", "ngram", "b-code"),
    "chinese": (characters(23, HAN) + "。" + CHINESE[40:50] + "，", "ngram", "b-chinese"),
    "japanese": (f"abc {JAPANESE[7:20]} def", "ngram", "b-japanese"),
    "thai": (THAI[50:61], "ngram", "b-thai"),
    "short": ("what is 3+5 in base seven", "whole_item", "b-short"),
    "short, as a sentence": (f"{prose(24)}. What is 3 + 5 in base seven? {prose(25)}", "whole_item", "b-short"),
    "tiny": (" 2 + 2 = ? ", "whole_item", "b-tiny"),
}  # fmt: skip
CLEAN = {
    "nine words": f"{prose(30)} {run_of(ENGLISH, 30, 9)} {prose(31)}",
    "nine characters": characters(32, HAN) + "。" + CHINESE[40:49] + "龍",
    "another problem": prose(33),
    "other symbols": "What is 3 - 5 in base seven?",
    "short, going on": "What is 3 + 5 in base seven.5?",
    "short, within a sentence": "He asked what is 3 + 5 in base seven and left",
    "tiny in another": "2+2=?+1",
    "other tiny": "2-2=?",
    "null": None,
    "empty": "",
    "control characters": "\x00\x01\x7f",
    "symbols": "∫∂≠😀",
    "unknown script": "𐎀𐎁𐎂𐎃 𐎄𐎅𐎆 ᚠᚢᚦᚨᚱᚲ",
}


def given() -> pl.DataFrame:
    texts = {**{k: t for k, (t, _, _) in PLANTED.items()}, **CLEAN}
    names = sorted(texts, key=hash)  # nulls and planted ones mixed
    rows = [*HELD_OUT, *(problem_row(name, texts[name]) for name in names)]
    return pl.DataFrame(rows, schema={f.name: pl.String for f in TABLES["problems"].schema})


def test_all_that_is_planted_and_nothing_else() -> None:
    drops = contaminated(params=PARAMS, problems=given())
    found = {row["row_id"]: (row["reason"], row["value"]) for row in drops.to_dicts()}
    assert found == {name: (reason, item) for name, (_, reason, item) in PLANTED.items()}
    assert set(drops["gate"]) == {"contamination"}
    TABLES["drops"].conform(drops.to_arrow())


@pytest.mark.parametrize(
    ("name", "shared"),
    [
        ("ten words", run_of(ENGLISH, 30, 10)),
        ("chinese", CHINESE[40:50]),
        ("japanese", JAPANESE[7:20]),
        ("short, as a sentence", "What is 3 + 5 in base seven"),
        ("solution", run_of(SOLUTION, 10, 15)),
    ],
)
def test_evidence_is_the_shared_text(name: str, shared: str) -> None:
    drops = contaminated(params=PARAMS, problems=given())
    assert drops.filter(pl.col("row_id") == name)["evidence"].to_list() == [shared[:160]]


def test_the_order_of_rows_changes_nothing() -> None:
    one, other = (contaminated(params=PARAMS, problems=g).sort("row_id") for g in (given(), given().reverse()))
    assert one.equals(other)


def test_what_is_left() -> None:
    kept = decontaminated(params=PARAMS, problems=given(), drops=contaminated(params=PARAMS, problems=given()))
    assert set(kept["problem_id"]) == {*CLEAN, *(str(row["problem_id"]) for row in HELD_OUT)}


def test_hashes_that_collide_find_nothing_more() -> None:
    texts = given().filter(pl.col("split") == "train")["question"]
    plain, weak = (scan(texts, benchmark(given(), 10, **bits).index, 10) for bits in ({}, {"bits": 7}))
    assert plain.rows.tolist() == weak.rows.tolist()


def test_more_hits_than_texts() -> None:
    item = "what is three plus five"
    found = benchmark(pl.DataFrame([problem_row("b", item, "eval")]), 10)
    hits = scan(pl.Series([f"{item}. " * 500, None, item]), found.index, 10)
    assert hits.rows[:, 0].tolist() == [0] * 500 + [2]
    assert hits.words.tolist() == [2500, 0, 5]


def test_candidates_that_passed_alone_are_looked_at() -> None:
    texts = ["good", f"so {run_of(ENGLISH, 3, 10)}", None, f"so {run_of(ENGLISH, 4, 10)}"]
    candidates = pl.DataFrame({"candidate_id": list("abcd"), "problem_id": list("pqrs"), "completion": texts})
    gone = pl.DataFrame({"row_id": ["d"]})
    drops = contaminated_candidates(params=PARAMS, candidates=candidates, drops=gone, problems=given())
    assert drops.select("row_id", "problem_id", "value").rows() == [("b", "q", "b-english")]


@pytest.mark.parametrize("template", ["{question}", "User: {question}\nAssistant: <think>"])
def test_examples_are_looked_at_by_question_and_by_completion(template: str) -> None:
    texts = {
        "asked": ("2 + 2 = ?", "4"),
        "told": ("Count.", f"so {run_of(ENGLISH, 3, 10)}"),
        "both": (ENGLISH, CHINESE),
        "neither": (prose(40), prose(41)),
    }
    rows = [
        {"example_id": k, "problem_id": "p", "prompt": template.replace("{question}", q), "completion": c}
        for k, (q, c) in texts.items()
    ]
    params, examples = ExamplesParams(template=template), pl.DataFrame(rows)
    drops = contaminated_examples(params=params, examples=examples, problems=given())
    TABLES["drops"].conform(drops.to_arrow())
    found = sorted(drops.select("row_id", "reason", "value").rows())
    assert found == [
        ("asked", "whole_item", "b-tiny"),
        ("both", "ngram", "b-english"),
        ("told", "ngram", "b-english"),
    ]
    assert drops.filter(row_id="told")["evidence"].to_list() == [run_of(ENGLISH, 3, 10)]
    left = decontaminated_examples(params=PARAMS, examples=examples, contaminated=drops)
    assert left["example_id"].to_list() == ["neither"]


def test_a_recipe_without_benchmarks_loses_nothing() -> None:
    train = given().filter(pl.col("split") == "train")
    assert contaminated(params=PARAMS, problems=train).is_empty()


def test_ten_megabytes_in_a_row() -> None:
    long = f"{'word ' * 2_000_000}{ENGLISH}"
    rows = [
        *HELD_OUT,
        problem_row("long", long),
        problem_row("unbroken", "x" * 10_000_000),
        problem_row("after", ENGLISH),
    ]
    drops = contaminated(params=PARAMS, problems=pl.DataFrame(rows))
    assert sorted(drops["row_id"]) == ["after", "long"]


def test_records_that_are_no_problems_leave_with_a_reason(tmp_path: Path) -> None:
    records: list[dict[str, Any]] = [
        {"question": "1+1", "answer": "2", "work": "one and one"},
        {"question": None, "answer": "2"},
        {"question": " \n", "answer": "2"},
        {"question": "2+2", "answer": None},
        {"question": "bad \ud800", "answer": "2"},
        {"question": "NUL \x00", "answer": "3"},
    ]
    path = tmp_path / "p.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")
    source = SourceParams(name="f", url=str(path), split="eval", columns={"solution": "work"})
    params = ProblemsParams(sources=(source,))
    kept, gone = problems(params=params), problem_drops(params=params)
    assert sorted(kept["question"]) == ["1+1", "NUL \x00"]
    assert sorted(gone["reason"]) == ["lone_surrogate", "no_gold", "no_question", "no_question"]
    assert json.loads(kept.filter(pl.col("question") == "1+1")["metadata"][0]) == {"solution": "one and one"}
    TABLES["drops"].conform(gone.to_arrow())


def test_the_compiler_is_loaded_only_when_used() -> None:
    code = "import sys, r1data, r1data.steps.decontaminate, r1data.steps.near_duplicates; print('numba' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.strip() == "False"
