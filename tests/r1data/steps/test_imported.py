"""Imported non-reasoning examples: each row is taken or leaves with a reason; thoughts where the recipe lists them."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from r1data.data_params import NonReasoningParams
from r1data.errors import RecipeError
from r1data.generate.server import Server
from r1data.pins import pinned
from r1data.recipe import SHIPPED, Recipe, load_recipe
from r1data.served import served_answers
from r1data.stages import graph
from r1data.step import Node
from r1data.steps.imported import (
    FinishParams,
    ImportedParams,
    finished,
    import_drops,
    imported,
    is_greeting,
    thought_drops,
    thought_questions,
)
from r1data.steps.problems import problem_id
from r1data.storage import Lake
from schemas import TABLES
from tests.running import desk

HELD_OUT = pl.DataFrame({"problem_id": [problem_id("Held out?")], "split": ["benchmark"]})
ROWS: tuple[dict[str, Any], ...] = (
    {"q": "Write a haiku", "a": "Rain on the old roof", "kind": "Creative Writing", "lic": "MIT"},
    {"q": "hello!", "a": "Hello, can I help?", "kind": "Creative Writing", "lic": "MIT"},
    {"q": "Who was Ada?", "a": "A mathematician.", "kind": "factual-QA", "lic": "CC0"},
    {"q": "Who was Ada?", "a": None, "kind": "factual-QA", "lic": "CC0"},
    {"q": "Fix it", "a": "Done.", "kind": "plumbing", "lic": "CC0"},
    {"q": "Say yes", "a": "Yes.", "kind": "role play"},
    {"q": "Held out?", "a": "Yes.", "kind": "role play", "lic": "MIT"},
    {"q": "Think", "a": "<think>no</think>", "kind": "role play", "lic": "MIT"},
    {"q": " who was  Ada?", "a": "A mathematician.", "kind": "factual-QA", "lic": "CC0"},
    {"q": "who was  Ada?", "a": "A mathematician. ", "kind": "factual-QA", "lic": "CC0"},
)


def source(url: str, **told: Any) -> NonReasoningParams:
    columns = {"prompt": "q", "response": "a", "category": "kind", "licence": "lic"}
    return NonReasoningParams(name="f", url=url, columns=columns, categories={"Creative Writing": "writing"}, **told)


@pytest.fixture
def lines(tmp_path: Path) -> str:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in ROWS), encoding="utf-8")
    return str(path)


def test_every_row_is_taken_or_leaves_with_a_reason(lines: str) -> None:
    params = ImportedParams(sources=(source(lines),))
    kept, gone = imported(params=params, problems=HELD_OUT), import_drops(params=params, problems=HELD_OUT)
    TABLES["sft_examples"].conform(kept.to_arrow())
    TABLES["drops"].conform(gone.to_arrow())
    assert kept.height + gone.height == len(ROWS)
    assert sorted(kept["category"]) == ["factual_qa", "factual_qa", "writing", "writing"]
    reasons = dict(gone.select("reason", "value").iter_rows())
    assert reasons == {
        "no_response": "",
        "unknown_category": "plumbing",
        "no_licence": "",
        "in_benchmark": "",
        "tags_in_response": "",
        "duplicate": "",
    }
    assert set(kept["source"]) == {f"f: {lines}"}
    assert set(kept["licence"]) == {"MIT", "CC0"}


NO_TEXTS: tuple[tuple[Any, str], ...] = (
    ("a\ud800", "lone_surrogate"),
    (["x", {"role": "user"}], "no_text"),
    ({"role": "user"}, "no_text"),
    (True, "no_text"),
    (float("nan"), "no_text"),
)


@pytest.mark.parametrize("column", ["q", "a", "kind", "lic"])
def test_a_value_that_is_no_text_leaves(tmp_path: Path, column: str) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [{**ROWS[0], column: value} for value, _ in NO_TEXTS]
    path.write_text("".join(json.dumps(r) + "\n" for r in [*rows, {**ROWS[0], "a": 7}]), encoding="utf-8")
    params = ImportedParams(sources=(source(str(path)),))
    assert imported(params=params, problems=HELD_OUT)["completion"].to_list() == ["7"]
    gone = import_drops(params=params, problems=HELD_OUT)
    assert gone["row_id"].n_unique() == len(rows)
    assert gone.select("reason", "value").rows() == [(reason, column) for _, reason in NO_TEXTS]


def test_a_source_given_twice_has_each_drop_once(lines: str) -> None:
    gone = import_drops(params=ImportedParams(sources=(source(lines), source(lines))), problems=HELD_OUT)
    assert gone["row_id"].n_unique() == gone.height == 2 * len(ROWS) - 4


@pytest.mark.parametrize("name", ["empty.jsonl", "empty.parquet"])
def test_a_file_without_rows_is_said_to_have_none(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith("parquet"):
        pl.DataFrame(schema={"prompt": pl.String, "response": pl.String}).write_parquet(path)
    else:
        path.write_text("\n", encoding="utf-8")
    told = NonReasoningParams(name="p", url=str(path), category="translation", licence="MIT")
    with pytest.raises(RecipeError, match=rf"non_reasoning 'p': .*{name} has no rows\n  remedy: give a file"):
        imported(params=ImportedParams(sources=(told,)), problems=HELD_OUT)


def test_lists_of_parquet_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pl.DataFrame({"prompt": ["a?"], "response": [["A", "B"]]}).write_parquet(path)
    told = NonReasoningParams(name="p", url=str(path), category="translation", licence="MIT")
    gone = import_drops(params=ImportedParams(sources=(told,)), problems=HELD_OUT)
    assert gone.select("reason", "value").rows() == [("no_text", "response")]


def test_parquet_with_a_limit_and_what_the_recipe_says_of_all_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pl.DataFrame({"prompt": ["a?", "b?"], "response": ["A", "B"]}).write_parquet(path)
    told = NonReasoningParams(name="p", url=str(path), category="translation", licence="MIT", language="zh", limit=1)
    kept = imported(params=ImportedParams(sources=(told,)), problems=HELD_OUT)
    assert kept.select("prompt", "category", "licence", "language").rows() == [("a?", "translation", "MIT", "zh")]


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"columns": {"prompt": "question"}}, r"non_reasoning 'n': .* has no column 'question'"),
        ({"columns": {"prompt": "q", "response": "a"}}, "no category"),
        ({"url": "hf://datasets/nobody/nothing@v1/rows.parquet"}, r"hf://datasets/nobody.*\n  remedy: hf://datasets"),
        ({"url": "none.jsonl"}, r"none\.jsonl"),
    ],
    ids=["column", "category", "hub without network", "missing file"],
)
def test_what_cannot_be_read_is_one_clear_error(lines: str, told: dict[str, Any], says: str) -> None:
    params = ImportedParams(sources=(NonReasoningParams(**{"name": "n", "url": lines, **told}),))
    with pytest.raises(RecipeError, match=says):
        imported(params=params, problems=HELD_OUT)


DRESSED = (
    "Hello 👋",
    "hello :)",
    "“Hello”",
    "(hello)",
    "hello;",
    "hello、",
    "ｈｅｌｌｏ",
    "hello hello",
    "Hello!\u200b",
    "_hi_",
)


@pytest.mark.parametrize(
    "prompt", ["hello", " Hello! ", "Hi there", "good morning.", "你好", "你好,你好!", "您好呀", *DRESSED]
)
def test_greetings(prompt: str) -> None:
    assert is_greeting(prompt)


@pytest.mark.parametrize(
    "prompt", ["hello in Chinese?", "Hi, what is 1+1?", "你好吗", "Write hello", "", "👋", "hellohi"]
)
def test_no_greetings(prompt: str) -> None:
    assert not is_greeting(prompt)


def recipe_with(tmp_path: Path, lines: str, url: str) -> Recipe:
    text = (SHIPPED / "smoke.toml").read_text(encoding="utf-8")
    text += f"""
[[non_reasoning]]
name = "f"
url = "{lines}"
columns = {{ prompt = "q", response = "a", category = "kind", licence = "lic" }}
categories = {{ "Creative Writing" = "writing" }}

[sft_mix.thoughts]
url = "{url}"
model = "teacher-1"
categories = ["writing"]
"""
    path = tmp_path / "imports.toml"
    path.write_text(text, encoding="utf-8")
    return load_recipe(str(path))


def nodes_of(recipe: Recipe) -> dict[str, Node]:
    return {n.name: n for n in graph(pinned(recipe))}


def test_a_changed_file_is_read_again(tmp_path: Path, lines: str) -> None:
    recipe = recipe_with(tmp_path, lines, "http://127.0.0.1:1")
    first = nodes_of(recipe)["sft_mix/imported"].key({})
    assert nodes_of(recipe)["sft_mix/imported"].key({}) == first
    Path(lines).write_text("{}", encoding="utf-8")
    assert nodes_of(recipe)["sft_mix/imported"].key({}) != first


def test_thoughts_for_the_categories_that_are_listed_and_never_for_hello(
    tmp_path: Path, lines: str, lake: Lake, server: Server
) -> None:
    recipe = recipe_with(tmp_path, lines, server.url)
    nodes = nodes_of(recipe)
    assert "url" not in nodes["sft_mix/thoughts"].params.model_dump()
    examples = imported(params=ImportedParams(sources=recipe.non_reasoning), problems=HELD_OUT)
    answers = pl.concat(served_answers(desk(lake), recipe, None, nodes["sft_mix/thoughts"], {"examples": examples}))
    assert answers.height == 1
    params = nodes["sft_mix/general"].params
    assert isinstance(params, FinishParams)
    done = finished(params=params, examples=examples, thoughts=answers)
    thought = done.filter("chain_of_thought").to_dicts()
    assert [row["completion"] for row in thought] == ["<think>They ask: Write a haiku</think>Rain on the old roof"]
    assert thought[0]["prompt"] == recipe.chat_template.replace("{question}", "Write a haiku")
    assert thought[0]["source"].endswith(", thought by teacher-1")
    assert done.height == examples.height
    assert set(done["parent_id"]) == set(examples["example_id"])


def test_line_breaks_around_a_thought_are_no_fault(tmp_path: Path, lines: str) -> None:
    recipe = recipe_with(tmp_path, lines, "http://127.0.0.1:1")
    params = nodes_of(recipe)["sft_mix/general"].params
    assert isinstance(params, FinishParams)
    assert params.think is not None
    examples = imported(params=ImportedParams(sources=recipe.non_reasoning), problems=HELD_OUT)
    ((problem, prompt, _),) = thought_questions(params=params.think, examples=examples)
    columns = {"prompt": [prompt], "completion": ["<think>\na\n\nb\n</think>\n"], "finish_reason": ["stop"]}
    done = finished(params=params, examples=examples, thoughts=pl.DataFrame({"problem_id": [problem], **columns}))
    found = done.filter("chain_of_thought")["completion"].to_list()
    assert found == ["<think>a\n\nb</think>Rain on the old roof"]


def test_an_unreadable_thought_is_a_drop(tmp_path: Path, lines: str) -> None:
    recipe = recipe_with(tmp_path, lines, "http://127.0.0.1:1")
    params = nodes_of(recipe)["sft_mix/general"].params
    assert isinstance(params, FinishParams)
    assert params.think is not None
    examples = imported(params=ImportedParams(sources=recipe.non_reasoning), problems=HELD_OUT)
    ((problem, prompt, name),) = thought_questions(params=params.think, examples=examples)
    for completion, finish in (("No.", "stop"), ("<think>cut</think>", "length"), ("<think>a</think>b", "stop")):
        columns = {"problem_id": [problem], "prompt": [prompt], "completion": [completion], "finish_reason": [finish]}
        told = pl.DataFrame(columns)
        assert finished(params=params, examples=examples, thoughts=told).height == examples.height - 1
        gone = thought_drops(params=params, examples=examples, thoughts=told)
        assert gone.select("row_id", "gate", "reason").rows() == [(name, "thought", "unreadable")]
