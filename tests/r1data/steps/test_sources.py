"""Sources of cold-start examples beside R1-Zero's: who is asked what, what is taken of whom, and what leaves."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from r1data.data_params import HumanParams
from r1data.errors import LakeError, RecipeError
from r1data.generate.server import Server
from r1data.pins import pinned
from r1data.plan import plan
from r1data.recipe import SHIPPED, Recipe, load_recipe
from r1data.runner import Runner
from r1data.served import served_answers
from r1data.stages import STAGES, graph
from r1data.step import Node
from r1data.steps.examples import examples_frame
from r1data.steps.problems import ProblemsParams, problem_id, problems
from r1data.steps.sources import (
    EarlierParams,
    SourceParams,
    UnitedParams,
    earlier,
    earlier_drops,
    quota_drops,
    sourced,
    united,
)
from r1data.storage import Lake
from r1data.verify.human import HumanExamplesParams, human_drops, human_examples
from r1data.verify.verdicts import VerifyParams, verdicts
from schemas import TABLES
from tests.r1data.inspect.tiny_lake import Services
from tests.r1data.inspect.tiny_lake import nodes as tiny_nodes
from tests.running import desk

ALL = """
[cold_start.zero]
quota = 3

[cold_start.few_shot]
url = "{url}"
model = "teacher-1"
problems = 10
quota = 2

[cold_start.reflective]
url = "{url}"
model = "teacher-1"
problems = 5
categories = ["arithmetic"]

[cold_start.feedback]
ref = "earlier/sft_mix"

[cold_start.human]
url = "{file}"
licence = "CC0"
"""


def recipe_with(tmp_path: Path, sections: str) -> Recipe:
    path = tmp_path / "sources.toml"
    path.write_text((SHIPPED / "smoke.toml").read_text(encoding="utf-8") + sections, encoding="utf-8")
    return load_recipe(str(path))


def nodes_of(recipe: Recipe) -> dict[str, Node]:
    return {n.name: n for n in graph(pinned(recipe))}


def test_every_source_has_its_place_in_the_funnel(tmp_path: Path) -> None:
    nodes = nodes_of(recipe_with(tmp_path, ALL.format(url="http://127.0.0.1:1", file="people.jsonl")))
    assert set(nodes["cold_start"].inputs) == {"zero", "few_shot", "reflective", "feedback", "human"}
    for source in ("few_shot", "reflective", "feedback"):
        assert nodes[f"cold_start/{source}"].inputs["drops"] == f"cold_start/{source}/drops"
        assert nodes[f"cold_start/{source}/drops"].params == nodes["cold_start/drops"].params
    asked = nodes["cold_start/few_shot/candidates"].params.model_dump()
    assert "A rectangle has perimeter 26" in asked["template"]
    assert "reflection" in nodes["cold_start/reflective/candidates"].params.model_dump()["template"]
    assert not {"url", "quota"} & asked.keys()
    earlier_node = nodes["cold_start/feedback/candidates"]
    assert earlier_node.inputs["earlier"] == "@earlier/sft_mix/candidates"
    assert earlier_node.needs == {"problems"}
    assert {n.stage for n in nodes.values()} == set(STAGES)


def test_near_duplicates_leave_every_source(tmp_path: Path) -> None:
    sections = ALL.format(url="http://127.0.0.1:1", file="people.jsonl")
    nodes = nodes_of(recipe_with(tmp_path, f"{sections}\n[cold_start.dedup]\n"))
    for source in ("few_shot", "reflective", "feedback"):
        assert nodes[f"cold_start/{source}"].inputs["duplicates"] == f"cold_start/{source}/duplicates"


def test_an_earlier_run_that_is_not_there_is_waited_for(tmp_path: Path, lake: Lake) -> None:
    recipe = recipe_with(tmp_path, '\n[cold_start.feedback]\nref = "earlier/sft_mix"\n')
    lines = {line.node: line for line in plan(lake, recipe)}
    assert "@earlier/sft_mix/candidates" in lines["cold_start/feedback/candidates"].reason
    runner = Runner(lake, "smoke", Services(lake), report=lambda _: None)
    runner.done["problems"] = runner.run(tiny_nodes()[0])[0]
    with pytest.raises(LakeError, match="no ref 'earlier/sft_mix/candidates'"):
        runner.run(nodes_of(recipe)["cold_start/feedback/candidates"])


def test_without_sections_zero_is_all_there_is() -> None:
    assert set(nodes_of(load_recipe("smoke"))["cold_start"].inputs) == {"candidates", "drops", "problems"}


def test_a_recipe_does_not_feed_on_itself(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="made by this recipe"):
        nodes_of(recipe_with(tmp_path, '\n[cold_start.feedback]\nref = "smoke/eval/r1"\n'))


@pytest.mark.parametrize("source", ["few_shot", "reflective"])
def test_a_teacher_solves_problems_and_is_verified(tmp_path: Path, lake: Lake, server: Server, source: str) -> None:
    recipe = recipe_with(tmp_path, ALL.format(url=server.url, file="people.jsonl"))
    node = nodes_of(recipe)[f"cold_start/{source}/candidates"]
    found = problems(params=ProblemsParams(sources=recipe.sources))
    answers = pl.concat(served_answers(desk(lake), recipe, None, node, {"problems": found}))
    assert answers.height == {"few_shot": 10, "reflective": 5}[source]
    judged = verdicts(params=VerifyParams(), candidates=answers, problems=found)
    assert {"correct", "wrong"} >= set(judged["verdict"])
    gone = judged.filter(pl.col("verdict") != "correct").select(row_id="candidate_id")
    told = SourceParams(source=f"{source} by teacher-1", template="Q: {question}")
    made = sourced(params=told, candidates=answers, drops=gone, problems=found)
    assert made.height == answers.height - gone.height > 0
    assert set(made["source"]) == {f"{source} by teacher-1"}
    assert all(prompt.startswith("Q: ") for prompt in made["prompt"])
    assert set(made["parent_id"]) <= set(answers["candidate_id"])


def test_an_earlier_run_gives_what_this_one_trains_on() -> None:
    known = pl.DataFrame(
        {"problem_id": ["a", "b", "c"], "split": ["train", "eval", "train"], "kind": ["math", "math", "general"]}
    )
    answers = pl.DataFrame({"candidate_id": list("1234"), "problem_id": list("abcd"), "completion": ["x"] * 4})
    params = EarlierParams(kinds=("math",))
    taken = earlier(params=params, earlier=answers, problems=known)
    gone = earlier_drops(params=params, earlier=answers, problems=known)
    assert taken["candidate_id"].to_list() == ["1"]
    assert sorted(gone.select("row_id", "value").rows()) == [("2", "eval"), ("3", "train"), ("4", "")]
    TABLES["drops"].conform(gone.to_arrow())


def examples(*texts: str) -> pl.DataFrame:
    columns = {**dict.fromkeys(TABLES["sft_examples"].schema.names, "x"), "chain_of_thought": True}
    return examples_frame([{**columns, "example_id": f"{i}{text}", "completion": text} for i, text in enumerate(texts)])


def test_quotas_and_the_same_text_twice() -> None:
    sources = {"zero": examples("a", "b", "c"), "few_shot": examples("d", "a", "e"), "human": examples("f")}
    params = UnitedParams(quotas={"zero": None, "few_shot": 1, "human": None})
    kept, gone = united(params=params, **sources), quota_drops(params=params, **sources)
    assert kept.height + gone.height == 7
    assert {"a", "b", "c", "f"} < set(kept["completion"])
    assert sorted(gone.select("gate", "reason", "value").rows()) == [
        ("duplicate", "same_text", "few_shot"),
        ("quota", "enough_of_source", "few_shot"),
    ]


def test_a_text_beyond_one_quota_may_come_from_the_next_source() -> None:
    params = UnitedParams(quotas={"few_shot": 1, "reflective": None})
    sources = {"few_shot": examples("a", "b"), "reflective": examples("a", "b")}
    assert sorted(united(params=params, **sources)["completion"]) == ["a", "b"]
    assert quota_drops(params=params, **sources)["reason"].sort().to_list() == ["enough_of_source", "same_text"]


def test_a_reviewed_file(tmp_path: Path) -> None:
    known = pl.DataFrame(
        {
            "problem_id": [problem_id("1+1=?"), problem_id("Held out?")],
            "split": ["train", "eval"],
            "kind": "math",
            "answer": "2",
            "category": "arithmetic",
            "language": "en",
        }
    )
    good: dict[str, Any] = {"question": "1+1=?", "reasoning": "1 and 1", "answer": "2", "reviewer": "Ada"}
    rows = (
        good,
        {**good, "question": "Why?", "answer": "Because.", "language": "zh"},
        good,
        {**good, "reviewer": None},
        {**good, "reasoning": " "},
        {**good, "answer": "3"},
        {**good, "question": "Held out?"},
        {**good, "reasoning": "<answer>2</answer>"},
        {**good, "reasoning": "1 and \ud800"},
        {**good, "answer": [2]},
    )
    path = tmp_path / "people.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    params = HumanExamplesParams(file=HumanParams(url=str(path), licence="CC0"), template="Q: {question}")
    kept = human_examples(params=params, problems=known)
    gone = human_drops(params=params, problems=known, examples=kept)
    told = kept.sort("category").select("prompt", "completion", "category", "source").rows()
    assert told == [
        ("Q: 1+1=?", "<think>1 and 1</think><answer>2</answer>", "arithmetic", "human, reviewed by Ada"),
        ("Q: Why?", "<think>1 and 1</think><answer>Because.</answer>", "human", "human, reviewed by Ada, unverified"),
    ]
    reasons = {"duplicate", "no_reviewer", "no_reasoning", "wrong_answer", "in_eval", "tags_inside"} | {
        "lone_surrogate",
        "no_text",
    }
    assert set(gone["reason"]) == reasons
    assert gone.height == len(reasons)
