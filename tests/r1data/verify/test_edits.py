"""What a reviewer wrote is verified against its problem's gold: a right edit, wrong ones, and what no rule verifies."""

import json
from pathlib import Path

import polars as pl
import pytest

from r1data.errors import LakeError
from r1data.manifest import Manifest
from r1data.params import Params
from r1data.recipe import load_recipe
from r1data.review import Review, read_review
from r1data.reviewing import decide, decided, edit_lines, keep_edits
from r1data.runner import Runner, frame_of
from r1data.stages import graph
from r1data.step import Node, Step
from r1data.steps.examples import examples_frame
from r1data.storage import Lake
from r1data.verify.edits import MEASURES
from schemas import TABLES
from tests.r1data.inspect.tiny_lake import Services, filled

TESTS = json.dumps({"asserts": "assert f(2) == 4\nassert f(5) == 10", "functions": ["f"]})
KINDS = {
    "sum": ("math", "68"),
    "function": ("code", TESTS),
    "capital": ("choice", json.dumps({"answer": "B", "options": {"A": "Lyon", "B": "Paris"}})),
    "letter": ("general", ""),
    "essay": ("judged", "Ada Lovelace"),
    "goldless": ("math", ""),
}
ORIGINAL = "<think>so</think>It is 68.<answer>68</answer>"


def problems(*, params: Params) -> pl.DataFrame:
    """One of each kind."""
    rows = [{"problem_id": name, "question": name, "kind": k, "answer": a} for name, (k, a) in KINDS.items()]
    return filled("problems", rows)


def zero(*, params: Params, problems: pl.DataFrame) -> pl.DataFrame:
    """An example of every problem, and one whose question is none of them."""
    names = [*KINDS, "stranger"]
    columns = dict.fromkeys(TABLES["sft_examples"].schema.names, "x")
    told = {**columns, "language": "en", "chain_of_thought": True, "completion": ORIGINAL}
    return examples_frame([{**told, "example_id": f"{name}-row", "problem_id": name} for name in names])


def united(*, params: Params, zero: pl.DataFrame) -> pl.DataFrame:
    """The set that is reviewed, which does not name the problems itself."""
    return zero


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    lake = Lake.open(str(tmp_path / "lake"))
    found = Runner(lake, "smoke", Services(lake), report=lambda _: None)
    for node in (
        Node("problems", "s", Step("made", "1", "reduce", TABLES["problems"], problems), Params()),
        Node("cold_start/zero", "s", Step("zero", "1", "reduce", TABLES["sft_examples"], zero), Params(), P),
        Node("cold_start", "s", Step("united", "1", "reduce", TABLES["sft_examples"], united), Params(), Z),
    ):
        found.run(node)
    return found


P, Z = {"problems": "problems"}, {"zero": "cold_start/zero"}


def handed_in(runner: Runner, **completions: str) -> Review:
    """Edits of the rows named, accepted by Ada."""
    rows: Manifest = runner.done["cold_start"]
    lines = [json.dumps({"example_id": name, "completion": text}) for name, text in completions.items()]
    name = keep_edits(runner.lake, "\n".join(lines).encode())
    return decide(runner.lake, rows, "Ada", accepted=True, edits_file=name)


def r1_text(answer: str) -> str:
    return f"<think>Let me see what it is.</think>So it is.<answer>{answer}</answer>"


def program(body: str) -> str:
    return r1_text(f"def f(x): return {body}")


def test_right_edits_are_taken_with_verdict_and_measures(runner: Runner) -> None:
    text = r1_text("68.0")
    review = handed_in(runner, sum=text, function=program("x * 2"), capital=r1_text("Paris"))
    assert {e.example_id: e.verdict for e in review.edits} == dict.fromkeys(
        ("sum-row", "function-row", "capital-row"), "correct"
    )
    edit = next(e for e in review.edits if e.example_id == "sum-row")
    assert set(edit.measures) == set(MEASURES)
    assert (edit.measures["language_consistency"], edit.measures["characters"]) == (1.0, len(text))
    assert read_review(runner.lake, runner.done["cold_start"]) == review
    assert any(line.startswith("edited sum-row: correct, language consistency 1") for line in edit_lines(review))
    node = next(n for n in graph(load_recipe("smoke")) if n.name == "cold_start/reviewed")
    manifest, _ = runner.run(decided(node, review))
    kept = frame_of(runner.lake, manifest)
    assert kept.filter(parent_id="sum-row").select("completion", "source").rows() == [(text, "x, edited by Ada")]
    assert {e["verdict"] for e in manifest.params["edits"]} == {"correct"}


@pytest.mark.parametrize(
    ("edits", "says"),
    [
        ({"sum": r1_text("67")}, "row sum-row: wrong: it answers '67', the answer is '68'"),
        ({"function": program("x + 2")}, "row function-row: wrong"),
        ({"function": r1_text("I cannot.")}, "row function-row: wrong"),
        ({"capital": r1_text("A")}, "row capital-row: wrong: it answers 'A'"),
        ({"goldless": r1_text("68")}, "row goldless-row: undecided"),
        ({"sum": r1_text("68"), "capital": r1_text("A or B")}, "1 edits are not right.*\n.*row capital-row: undecided"),
    ],
)
def test_an_edit_that_is_not_right_is_refused_and_nothing_is_written(
    runner: Runner, edits: dict[str, str], says: str
) -> None:
    with pytest.raises(LakeError, match=says) as found:
        handed_in(runner, **edits)
    assert "mend these edits" in found.value.remedy
    assert "sum-row" not in str(found.value) or "sum-row: wrong" in str(found.value)
    assert read_review(runner.lake, runner.done["cold_start"]) is None
    right = {"sum": ORIGINAL.replace("so", "thus")}
    assert handed_in(runner, **right).edits[0].verdict == "correct", "the reviewer is asked again"


def test_what_no_rule_verifies_is_taken_and_said_to_be_unverified(runner: Runner) -> None:
    review = handed_in(runner, letter=r1_text("Dear Ada"), essay=r1_text("Bob"), stranger=r1_text("7"))
    assert {(e.example_id, e.verdict, e.reason) for e in review.edits} == {
        ("letter-row", "unverified", "no_rule"),
        ("essay-row", "unverified", "no_rule"),
        ("stranger-row", "unverified", "no_problem"),
    }
    assert "edited letter-row: unverified, no rule, language consistency" in "\n".join(edit_lines(review))
    node = next(n for n in graph(load_recipe("smoke")) if n.name == "cold_start/reviewed")
    kept = frame_of(runner.lake, runner.run(decided(node, review))[0]).filter(pl.col("parent_id") != "x")
    assert set(kept["source"]) == {"x, edited by Ada, unverified"}


def test_a_verdict_is_not_the_reviewers_to_give(runner: Runner) -> None:
    line = {"example_id": "sum", "completion": r1_text("67"), "verdict": "correct"}
    name = keep_edits(runner.lake, json.dumps(line).encode())
    with pytest.raises(LakeError, match="line 1: no edit"):
        decide(runner.lake, runner.done["cold_start"], "Ada", accepted=True, edits_file=name)


def test_a_review_from_before_edits_were_verified_is_read() -> None:
    old = {"dataset": "x", "digest": "d", "accepted": True, "reviewer": "Ada", "time": 1.0}
    review = Review.model_validate({**old, "edits": [{"example_id": "a", "completion": "b"}]})
    assert review.edits[0].verdict == "unverified"
