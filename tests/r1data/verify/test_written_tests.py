"""Written tests: kept where right programs agree and a wrong one fails; everything else leaves with its reason."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from r1data.generate.server import Server
from r1data.recipe import SHIPPED, load_recipe, template_text
from r1data.sandbox.cases import read_tests
from r1data.served import served_answers
from r1data.stages import graph
from r1data.storage import Lake
from r1data.verify.canaries import gold_failures
from r1data.verify.verdicts import Asked, judged
from r1data.verify.written_tests import (
    WrittenTestsParams,
    generator_questions,
    with_written_tests,
    written_test_drops,
)
from schemas import TABLES
from tests.running import desk

RIGHT = "a, b = map(int, input().split())\nprint(a + b)"
ALSO_RIGHT = "print(sum(int(x) for x in input().split()))"
WRONG = "a, b = map(int, input().split())\nprint(abs(a) + abs(b))"
PARAMS = WrittenTestsParams(
    model="writer", template=template_text("write_tests"), temperature=0.6, max_tokens=64, generators=1
)


def problem(**told: Any) -> pl.DataFrame:
    gold = json.dumps({"solution": RIGHT, "right": [ALSO_RIGHT], "wrong": [WRONG], **told})
    return pl.DataFrame({"problem_id": ["p"], "question": ["Add two numbers."], "kind": ["code"], "answer": [gold]})


def generators(*programs: str) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "candidate_id": [f"g{i}" for i in range(len(programs))],
            "problem_id": ["p"] * len(programs),
            "completion": [f"```python\n{p}\n```" for p in programs],
        }
    )


def printing(inputs: Any) -> str:
    return f"import json\nprint(json.dumps({inputs!r}))"


def test_only_inputs_that_tell_right_from_wrong_are_kept() -> None:
    given = {"problems": problem(), "generators": generators(printing(["1 2", "-1 2", "x y", "-3 -4", "-1 2"]))}
    (gold,) = with_written_tests(params=PARAMS, **given)["answer"]
    assert read_tests(gold).stdio == (("-1 2", "1\n"), ("-3 -4", "-7\n"))
    drops = written_test_drops(params=PARAMS, **given)
    TABLES["drops"].conform(drops.to_arrow())
    assert dict(zip(drops["evidence"], drops["reason"], strict=True)) == {
        "1 2": "no_wrong_program_fails",
        "x y": "a_right_program_fails",
    }
    assert gold_failures([("code", gold)]) == []
    right, wrong = judged([Asked(f"<answer>{p}</answer>", "stop", gold, "code") for p in (ALSO_RIGHT, WRONG)])
    assert (right.verdict, wrong.verdict) == ("correct", "wrong")


def test_right_programs_that_differ_drop_the_input() -> None:
    given = {"problems": problem(right=["print(1)"]), "generators": generators(printing(["-1 2", "-1 4"]))}
    (gold,) = with_written_tests(params=PARAMS, **given)["answer"]
    assert read_tests(gold).stdio == (("-1 2", "1\n"),)
    assert written_test_drops(params=PARAMS, **given)["reason"].to_list() == ["right_programs_differ"]


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("1 / 0", "generator_failed"),
        ("print('1 2')", "generator_printed_no_list"),
        (printing([1, 2]), "generator_printed_no_list"),
        (printing([]), "generator_printed_no_list"),
        (printing(["1" * 70_000]), "inputs_too_long"),
        ("import os\nos.fork()", "generator_failed"),
    ],
)
def test_generators_of_no_use_leave_with_a_reason(program: str, reason: str) -> None:
    given = {"problems": problem(), "generators": generators(program)}
    assert written_test_drops(params=PARAMS, **given)["reason"].to_list() == [reason]
    assert with_written_tests(params=PARAMS, **given).equals(given["problems"])


def test_only_problems_with_right_and_wrong_programs_are_asked_about() -> None:
    assert len(generator_questions(params=PARAMS, problems=problem())) == 1
    others: tuple[dict[str, Any], ...] = (
        {"wrong": []},
        {"solution": None, "stdio": [["1", "1"]]},
        {"calls": [[[1], 1]], "functions": ["f"]},
    )
    for told in others:
        assert generator_questions(params=PARAMS, problems=problem(**told)) == []


def test_until_there_are_tests_nothing_is_judged() -> None:
    (found,) = judged([Asked(f"<answer>{RIGHT}</answer>", "stop", problem()["answer"][0], "code")])
    assert (found.verdict, found.reason) == ("undecided", "bad_tests")


def test_a_writer_over_http(server: Server, lake: Lake, tmp_path: Path) -> None:
    path = tmp_path / "written.toml"
    section = f'\n[test_writer]\nurl = "{server.url}"\nmodel = "writer"\ngenerators = 1\n'
    path.write_text((SHIPPED / "smoke.toml").read_text(encoding="utf-8") + section, encoding="utf-8")
    recipe = load_recipe(str(path))
    nodes = {n.name: n for n in graph(recipe)}
    assert {"problems/given", "problems/generators", "problems", "problems/test_drops"} <= set(nodes)
    answers = pl.concat(served_answers(desk(lake), recipe, None, nodes["problems/generators"], {"problems": problem()}))
    (gold,) = with_written_tests(params=PARAMS, problems=problem(), generators=answers)["answer"]
    assert len(read_tests(gold).stdio) >= 3
