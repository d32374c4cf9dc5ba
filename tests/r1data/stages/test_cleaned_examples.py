"""Decontamination of examples that are made of no candidates, and of what a teacher wrote: nothing joins unseen."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl
import pytest

from r1data.inspect.trace import why
from r1data.manifest import Manifest, read_rows
from r1data.recipe import Recipe, load_recipe
from r1data.refs import resolve
from r1data.report.funnel import drop_refs, funnel
from r1data.runner import Runner, frame_of
from r1data.stages import graph
from r1data.step import Node
from r1data.steps.imported import ThinkParams, thought_questions
from r1data.steps.refine import RefineParams, refinements
from r1data.storage import Lake
from tests.r1data.stages.test_cleaning import SHARED, Services, recipe_with, sources
from tests.r1data.steps.texts import prose

CLEAN = """
[decontamination]
"""
SECTIONS = """
[cold_start.teacher]
url = "http://teacher"
model = "teacher"

[cold_start.human]
url = "HUMAN"
licence = "MIT"

[sft_mix.thoughts]
url = "http://teacher"
model = "teacher"
categories = ["writing"]

[[non_reasoning]]
name = "file"
url = "IMPORT"
licence = "MIT"
"""
HUMAN = [
    {"question": prose(200), "reasoning": prose(201), "answer": "7", "reviewer": "Ada"},
    {"question": prose(202), "reasoning": f"So {SHARED}", "answer": "7", "reviewer": "Ada"},
    {"question": f"{prose(203)} {SHARED}", "reasoning": prose(204), "answer": "7", "reviewer": "Ada"},
    {"question": "What is 3 + 5 in base seven ?", "reasoning": prose(205), "answer": "11", "reviewer": "Ada"},
    {"question": prose(206), "reasoning": "", "answer": "7", "reviewer": "Ada"},
]
IMPORT = [
    {"prompt": prose(210), "response": prose(211), "category": "writing"},
    {"prompt": f"Write {SHARED}", "response": prose(212), "category": "writing"},
    {"prompt": prose(213), "response": f"{prose(214)} {SHARED}", "category": "factual_qa"},
    {"prompt": f"Remember {prose(215)}", "response": prose(216), "category": "writing"},
    {"prompt": prose(217), "response": "", "category": "writing"},
    {"prompt": prose(218), "response": prose(219), "category": "factual_qa"},
]


class Teacher(Services):
    """A teacher that repeats the benchmark in one refinement, and in the thought on whatever says Remember."""

    def call(self, node: Node, key: str, inputs: Mapping[str, Manifest]) -> Iterator[pl.DataFrame]:
        """Answers to the nodes' own prompts."""
        frames = {role: frame_of(self.lake, m) for role, m in inputs.items() if m.kind == "dataset"}
        if isinstance(node.params, RefineParams):
            asked = refinements(params=node.params, **frames)
            leaks = min(problem for problem, _, _ in asked)
            texts = [
                (row["completion"].replace("<think>", f"<think>{SHARED} ") if p == leaks else row["completion"])
                for p, _, row in asked
            ]
            yield self._said([(p, prompt) for p, prompt, _ in asked], texts)
        elif isinstance(node.params, ThinkParams):
            thoughts = thought_questions(params=node.params, examples=frames["examples"])
            assert not any(SHARED in prompt for _, prompt, _ in thoughts), "a teacher is paid for what leaves"
            texts = [f"<think>{SHARED if 'Remember' in prompt else 'Well.'}</think>" for _, prompt, _ in thoughts]
            yield self._said([(p, prompt) for p, prompt, _ in thoughts], texts)
        else:
            yield from super().call(node, key, inputs)

    def _said(self, asked: list[tuple[str, str]], texts: list[str]) -> pl.DataFrame:
        like = next(self._answers({"problem_id": "", "answer": "1"}))
        rows = [
            {**like, "candidate_id": f"{i:03d} said {p}", "problem_id": p, "prompt": prompt, "completion": text}
            for i, ((p, prompt), text) in enumerate(zip(asked, texts, strict=True))
        ]
        return pl.DataFrame(rows).cast({"logprobs": pl.List(pl.Float32)})


def recipe_at(folder: Path) -> Recipe:
    """Problems of which one is contaminated, and a benchmark that has a short question too."""
    sections = SECTIONS
    for name, rows in (("HUMAN", HUMAN), ("IMPORT", IMPORT)):
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        sections = sections.replace(name, str(path))
    recipe_with(folder, CLEAN + sections)
    text = (folder / "clean.toml").read_text(encoding="utf-8")
    head, rest = text.split("[[sources]]", 1)
    (folder / "clean.toml").write_text(head + sources(folder) + rest[rest.index("\n[base") :], encoding="utf-8")
    with (folder / "held.jsonl").open("a", encoding="utf-8") as held:
        held.write(json.dumps({"question": "What is 3 + 5 in base seven?", "answer": "11"}) + "\n")
    return load_recipe(str(folder / "clean.toml"))


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake with both training sets, every model played by `Teacher`."""
    folder = tmp_path_factory.mktemp("examples")
    recipe = recipe_at(folder)
    opened = Lake.open(str(folder / "lake"))
    runner = Runner(opened, recipe.name, Teacher(opened), report=lambda _: None)
    model = Manifest(kind="checkpoint", name="m", path="data/m/k", key="k", step="s", version="1", digest="d1")
    runner.done |= {"zero": model, "dev2": model}
    for node in graph(recipe):
        mine = node.name.startswith("problems") or node.stage in ("cold_start", "sft_mix")
        if mine and set(node.inputs.values()) <= set(runner.done):
            runner.run(node)
    return opened


def rows_of(lake: Lake, name: str) -> pl.DataFrame:
    return pl.DataFrame(read_rows(lake, resolve(lake, f"clean/{name}")))


def test_no_training_set_has_a_benchmarks_words(lake: Lake) -> None:
    for name in ("cold_start", "cold_start/human", "sft_mix", "sft_mix/general", "sft_mix/imported"):
        texts = rows_of(lake, name).select(pl.concat_str("prompt", "completion")).to_series()
        assert len(texts) > 0
        assert not texts.str.contains(SHARED, literal=True).any(), name


def test_human_rows_leave_by_question_and_by_text(lake: Lake) -> None:
    gone = rows_of(lake, "cold_start/human/contaminated")
    held = rows_of(lake, "problems").filter(split="eval").select("question", "problem_id")
    long, short = (held.filter(pl.col("question").str.starts_with(s))["problem_id"][0] for s in (SHARED, "What is 3"))
    found = sorted(gone.select("reason", "value", "evidence").rows())
    assert [(reason, item) for reason, item, _ in found] == [("ngram", long)] * 2 + [("whole_item", short)]
    assert {evidence for _, item, evidence in found if item == long} == {SHARED[:160]}
    assert sorted(rows_of(lake, "cold_start/human/given")["example_id"]) == sorted(
        [*gone["row_id"], *rows_of(lake, "cold_start/human")["example_id"]]
    )


def test_imports_leave_before_and_after_the_teacher(lake: Lake) -> None:
    assert rows_of(lake, "sft_mix/imported/contaminated").height == 2
    assert rows_of(lake, "sft_mix/imported").height == 3
    (gone,) = rows_of(lake, "sft_mix/general/contaminated").to_dicts()
    (given,) = rows_of(lake, "sft_mix/general/given").filter(example_id=gone["row_id"]).to_dicts()
    assert "Remember" in given["prompt"]
    assert rows_of(lake, "sft_mix/general").height == 2


def test_a_refinement_with_a_benchmarks_words_is_no_example(lake: Lake) -> None:
    gone, refined = (rows_of(lake, f"cold_start/refined/{t}") for t in ("contaminated", "candidates"))
    leaky = refined.filter(pl.col("completion").str.contains(SHARED, literal=True))
    assert sorted(gone["row_id"]) == sorted(leaky["candidate_id"])
    assert gone.height == 2, "two answers to one problem"
    zero = rows_of(lake, "cold_start/zero")
    assert zero.height == refined.height - rows_of(lake, "cold_start/refined/drops").height - 2 > 0
    assert set(gone["problem_id"]).isdisjoint(zero["problem_id"])


@pytest.mark.parametrize(
    ("ref", "rows_in", "left"),
    [
        ("cold_start/human/drops", 5, {("contamination", 3), ("human", 1)}),
        ("sft_mix/imported/drops", 6, {("contamination", 2), ("import", 1)}),
        ("sft_mix/general/drops", 3, {("contamination", 1)}),
    ],
)
def test_funnels_count_what_cleaning_took(lake: Lake, ref: str, rows_in: int, left: set[tuple[str, int]]) -> None:
    found = funnel(lake, f"clean/{ref}")
    assert found.rows_in == rows_in
    by_gate = {gate: sum(n for g, _, n in found.left if g == gate) for gate, _, _ in found.left}
    assert set(by_gate.items()) == left
    assert found.rows_out == rows_of(lake, ref.removesuffix("/drops")).height


def test_the_funnel_of_refinements_ends_at_their_examples(lake: Lake) -> None:
    found = funnel(lake, "clean/cold_start/refined/drops")
    assert ("contamination", "ngram", 2) in found.left
    assert found.rows_in == rows_of(lake, "cold_start/refined/candidates").height
    assert found.rows_out == rows_of(lake, "cold_start/zero").height


def test_no_table_is_counted_twice_and_problems_are_counted_before_cleaning(lake: Lake) -> None:
    refs = drop_refs(lake, "clean")
    assert not [ref for ref in refs if ref.endswith("/contaminated") and ref != "clean/problems/contaminated"]
    found = funnel(lake, "clean/problems/drops")
    assert found.rows_in == rows_of(lake, "problems/given").height


def test_why_an_example_left(lake: Lake) -> None:
    row = rows_of(lake, "sft_mix/imported/contaminated")["row_id"][0]
    assert "contamination" in str(why(lake, row))


def test_where_they_stand(tmp_path: Path) -> None:
    nodes = {n.name: n for n in graph(recipe_at(tmp_path))}
    assert nodes["sft_mix/thoughts"].inputs["examples"] == "sft_mix/imported"
    assert nodes["sft_mix"].inputs["general"] == "sft_mix/general"
    assert nodes["cold_start"].inputs["human"] == "cold_start/human"
    for name in ("cold_start/human", "sft_mix/imported", "sft_mix/general"):
        assert nodes[name].inputs == {"examples": f"{name}/given", "contaminated": f"{name}/contaminated"}
    assert nodes["cold_start/zero"].inputs["refined_contaminated"] == "cold_start/refined/contaminated"


@pytest.mark.parametrize("name", ["deepseek-r1", "qwen-7b"])
def test_the_large_recipes_let_nothing_in_unseen(name: str) -> None:
    nodes = {n.name: n for n in graph(load_recipe(name))}
    general = nodes["sft_mix/general"]
    assert general.inputs.get("contaminated") or nodes[general.inputs["examples"]].inputs.get("contaminated")
    if "cold_start/refined/drops" in nodes:
        assert nodes["cold_start"].inputs["refined_contaminated"] == "cold_start/refined/contaminated"
