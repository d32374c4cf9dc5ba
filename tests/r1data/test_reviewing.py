"""What a reviewer sees and types: every kind of row is shown, ids and edits are checked, and the rows follow."""

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path

import polars as pl
import pytest

from r1data.errors import LakeError
from r1data.manifest import Manifest
from r1data.params import Params
from r1data.plan import plan
from r1data.recipe import SHIPPED, load_recipe
from r1data.review import read_review, record_review, record_timeout
from r1data.reviewing import decide, decided, keep_edits, review_markdown, review_sample
from r1data.runner import Runner, frame_of
from r1data.stages import graph
from r1data.step import Node, Step
from r1data.steps.examples import examples_frame
from r1data.steps.reviewed import ReviewedParams, params_of
from r1data.storage import Lake
from r1data.verify.edits import MEASURES
from schemas import TABLES
from tests.r1data.inspect.tiny_lake import Services

GOOD = "<think>so</think>It is 2.<answer>2</answer>"


def made(*, params: Params) -> pl.DataFrame:
    """Forty examples of two categories in two languages, three in four of one kind."""
    kinds = list(product(("maths", "code"), ("en", "zh")))
    rows: list[dict[str, object]] = []
    for i in range(40):
        category, language = kinds[i % 4] if i < 12 else kinds[0]
        columns = dict.fromkeys(TABLES["sft_examples"].schema.names, "x")
        rows.append(
            {
                **columns,
                "example_id": f"{i:02d}-row",
                "category": category,
                "language": language,
                "completion": GOOD,
                "chain_of_thought": True,
            }
        )
    return examples_frame(rows)


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    lake = Lake.open(str(tmp_path / "lake"))
    found = Runner(lake, "smoke", Services(lake), report=lambda _: None)
    found.run(Node("cold_start", "cold_start", Step("made", "1", "reduce", TABLES["sft_examples"], made), Params()))
    return found


@pytest.fixture
def rows(runner: Runner) -> Manifest:
    return runner.done["cold_start"]


def test_the_sample_has_every_kind_and_repeats(runner: Runner, rows: Manifest) -> None:
    sample = review_sample(runner.lake, rows, 8)
    assert sample.group_by("category", "language").len()["len"].to_list() == [2] * 4
    assert sample.equals(review_sample(runner.lake, rows, 8))
    assert review_sample(runner.lake, rows, 2).height == 4, "no kind is left out, however few rows are asked for"
    assert set(MEASURES) <= set(sample.columns)
    text = review_markdown(runner.lake, rows, 8)
    assert "| maths | en | x | 31 |" in text
    assert text.count(GOOD) == 8
    assert all(measure in text for measure in MEASURES)


def test_rejected_and_edited_rows(runner: Runner, rows: Manifest) -> None:
    better = "<think>well</think>It is 2.<answer>2</answer>"
    name = keep_edits(runner.lake, json.dumps({"example_id": "03", "completion": better}).encode())
    decide(runner.lake, rows, "Ada", accepted=True, rejected=["01-", " 02-row"], edits_file=name)
    review = read_review(runner.lake, rows)
    assert review is not None
    assert review.rejected == ("01-row", "02-row")
    nodes = {n.name: n for n in graph(load_recipe("smoke"))}
    kept, gone = (
        frame_of(runner.lake, runner.run(decided(nodes[name], review))[0])
        for name in ("cold_start/reviewed", "cold_start/reviewed/drops")
    )
    assert kept.height == 38
    edited = kept.filter(pl.col("completion") == better).to_dicts()
    assert [(row["parent_id"], row["source"]) for row in edited] == [("03-row", "x, edited by Ada, unverified")]
    assert gone.select("row_id", "gate", "reason", "value").rows() == [
        ("01-row", "review", "rejected", "Ada"),
        ("02-row", "review", "rejected", "Ada"),
        ("03-row", "review", "edited", "Ada"),
    ]
    told = runner.done["cold_start/reviewed"].params
    assert (told["reviewer"], told["decision"]) == ("Ada", "accepted")


def test_accepted_as_it_is_the_content_is_the_same(runner: Runner, rows: Manifest) -> None:
    record_review(runner.lake, rows, "the recipe", accepted=True)
    review = read_review(runner.lake, rows)
    assert review is not None
    nodes = {n.name: n for n in graph(load_recipe("smoke"))}
    assert runner.run(decided(nodes["cold_start/reviewed"], review))[0].digest == rows.digest


def edits(*lines: object) -> Callable[[Lake], str]:
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    return lambda lake: keep_edits(lake, text.encode())


@pytest.mark.parametrize(
    ("rejected", "file", "says"),
    [
        (["77"], None, "0 rows of smoke/cold_start have an id that begins with '77'"),
        (["0"], None, "10 rows"),
        ([f"{i:02d}" for i in range(40)], None, "all rows are rejected"),
        ([], lambda _: "reviews/edits/none.jsonl", r"none\.jsonl"),
        ([], lambda _: "../outside.jsonl", "outside the lake"),
        ([], edits("no json"), "line 1: no edit"),
        ([], edits({"example_id": "01", "completion": GOOD}, {"example_id": "02"}), "line 2: no edit"),
        ([], edits({"example_id": "01", "completion": "It is 2."}), "not in R1's pattern"),
        (
            [],
            edits({"example_id": "01", "completion": GOOD.replace("so", "s\ud800")}),
            "line 1: .* lone surrogate at .* 9",
        ),
        ([], edits({"example_id": "\ud800", "completion": GOOD}), "0 rows"),
        ([], edits({"example_id": "01", "completion": GOOD, "\ud800": 1}), "line 1: no edit"),
        ([], lambda _: "reviews/\udc80.jsonl", "name of the edits .* lone surrogate"),
        ([], edits({"example_id": "99", "completion": GOOD}), "0 rows"),
        ([], edits(*[{"example_id": "01", "completion": GOOD}] * 2), "line 2: 01-row again"),
        (["01"], edits({"example_id": "01", "completion": GOOD}), "both rejected and edited"),
    ],
)
def test_what_cannot_be_is_refused_whole(
    runner: Runner, rows: Manifest, rejected: list[str], file: Callable[[Lake], str] | None, says: str
) -> None:
    name = file(runner.lake) if file else ""
    with pytest.raises(LakeError, match=says) as told:
        decide(runner.lake, rows, "Ada", accepted=True, rejected=rejected, edits_file=name)
    str(told.value).encode()
    assert read_review(runner.lake, rows) is None


@pytest.mark.parametrize(("reviewer", "note"), [("A\udc80da", ""), ("Ada", "well \ud800")])
def test_what_no_file_can_hold_is_refused(runner: Runner, rows: Manifest, reviewer: str, note: str) -> None:
    with pytest.raises(LakeError, match=r"(reviewer|note) of the review has a lone surrogate.*\n  remedy: ") as told:
        decide(runner.lake, rows, reviewer, accepted=True, note=note)
    str(told.value).encode()  # or the page that asks again cannot be written
    assert read_review(runner.lake, rows) is None


def test_examples_alone_are_reviewed(runner: Runner, rows: Manifest) -> None:
    with pytest.raises(LakeError, match="no set of examples"):
        decide(runner.lake, rows.model_copy(update={"table": "drops/1"}), "Ada", accepted=True)


def test_an_earlier_time_out_stays_in_the_lineage(runner: Runner, rows: Manifest) -> None:
    record_timeout(runner.lake, rows, 3600)
    told = params_of(decide(runner.lake, rows, "Ada", accepted=True))
    assert told.earlier == ("timed out: nobody: nobody decided within 1 hours",)


def test_nobody_decided_yet() -> None:
    nodes = {n.name: n for n in graph(load_recipe("smoke"))}
    assert nodes["cold_start/reviewed"].params == ReviewedParams()
    assert nodes["dev1"].inputs["examples"] == "cold_start/reviewed"


def test_the_plan_of_an_empty_lake(tmp_path: Path) -> None:
    path = tmp_path / "waits.toml"
    text = (SHIPPED / "smoke.toml").read_text(encoding="utf-8")
    path.write_text(text.replace("[cold_start]", '[cold_start]\nreview = "wait"'), encoding="utf-8")
    lines = {line.node: line for line in plan(Lake.open(str(tmp_path / "none")), load_recipe(str(path)))}
    assert lines["cold_start/reviewed"].status == "depends"
