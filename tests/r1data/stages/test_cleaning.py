"""Decontamination and near-duplicates as a recipe asks for them: where they stand, and what they take out on disk."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from r1data.digest import row_id
from r1data.errors import RecipeError
from r1data.inspect.trace import why
from r1data.manifest import Manifest, read_rows
from r1data.recipe import SHIPPED, Recipe, load_recipe
from r1data.refs import resolve
from r1data.report.funnel import dropped, funnel
from r1data.runner import Runner, frame_of
from r1data.stages import graph
from r1data.step import Node
from r1data.storage import Lake
from schemas import TABLES
from tests.r1data.steps.texts import changed, prose

SECTIONS = """
[decontamination]
ngram = 10

[cold_start.dedup]
similarity = 0.8

[sft_mix.dedup]

[sft_mix.gate]
keep_per_problem = 4
"""
WRITER = '\n[test_writer]\nurl = "http://writer"\nmodel = "writer"\n'
SHARED = prose(1, 40)
CHAIN = prose(2, 60)


def recipe_with(folder: Path, sections: str) -> Recipe:
    path = folder / "clean.toml"
    text = (SHIPPED / "smoke.toml").read_text(encoding="utf-8").replace('name = "smoke"', 'name = "clean"')
    path.write_text(text + sections, encoding="utf-8")
    return load_recipe(str(path))


def test_without_the_sections_nothing_is_there() -> None:
    names = {n.name for n in graph(load_recipe("smoke"))}
    assert not {n for n in names if "contaminated" in n or n.endswith(("/duplicates", "/signatures", "/given"))}


def test_where_they_stand(tmp_path: Path) -> None:
    nodes = {n.name: n for n in graph(recipe_with(tmp_path, SECTIONS))}
    assert nodes["problems/contaminated"].inputs == {"problems": "problems/given"}
    assert nodes["problems"].inputs == {"problems": "problems/given", "drops": "problems/contaminated"}
    assert nodes["cold_start/signatures"].inputs["contaminated"] == "cold_start/contaminated"
    for name in ("cold_start", "sft_mix/reasoning"):
        assert {"drops", "contaminated", "duplicates"} < set(nodes[name].inputs)
        assert nodes[name].whole == {"problems", "duplicates"}


def test_tests_are_written_for_what_is_left(tmp_path: Path) -> None:
    nodes = {n.name: n for n in graph(recipe_with(tmp_path, SECTIONS + WRITER))}
    assert nodes["problems/decontaminated"].inputs["problems"] == "problems/given"
    assert nodes["problems/generators"].inputs == {"problems": "problems/decontaminated"}
    assert nodes["problems"].inputs["problems"] == "problems/decontaminated"


def test_the_large_recipes_do_both() -> None:
    for name in ("deepseek-r1", "qwen-7b"):
        names = {n.name for n in graph(load_recipe(name))}
        assert {"problems/contaminated", "cold_start/duplicates", "sft_mix/duplicates"} <= names


def test_a_key_that_is_no_key_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="did you mean 'similarity'"):
        recipe_with(tmp_path, "\n[sft_mix.dedup]\nsimilarty = 0.8\n")


def test_bands_that_miss_what_is_asked_for_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="16 bands of 7 rows let 12% of the pairs"):
        recipe_with(tmp_path, "\n[sft_mix.dedup]\nsimilarity = 0.5\n")


class Services:
    """A model that answers every problem four times: well, nearly the same, with a benchmark's text, and wrongly."""

    def call(self, node: Node, key: str, inputs: Mapping[str, Manifest]) -> Iterator[pl.DataFrame]:
        """Candidates in shards of three problems."""
        rows = frame_of(self.lake, inputs["problems"]).filter(pl.col("split") == "train").sort("problem_id").to_dicts()
        for first in range(0, len(rows), 3):
            part = [answer for row in rows[first : first + 3] for answer in self._answers(row)]
            yield pl.DataFrame(part).cast({"logprobs": pl.List(pl.Float32)})

    def _answers(self, row: dict[str, Any]) -> Iterator[dict[str, Any]]:
        mine = prose(int(row["answer"]), 60)
        chains = {"good": mine, "similar": changed(mine, 0.01, 1), "leaks": f"{prose(99)} {SHARED}", "wrong": prose(98)}
        for i, (kind, chain) in enumerate(chains.items()):
            answer = "no" if kind == "wrong" else row["answer"]
            yield {
                **{f.name: "" for f in TABLES["candidates"].schema},
                **{"candidate_id": row_id(row["problem_id"], kind), "problem_id": row["problem_id"]},
                **{"completion": f"<think>{chain}</think><answer>{answer}</answer>", "sample_index": i, "seed": i},
                **{"prompt_tokens": 1, "completion_tokens": 100 + i, "finish_reason": "stop", "logprobs": None},
                "latency_ms": 1.0,
            }

    def __init__(self, lake: Lake) -> None:
        self.lake = lake

    def train(self, node: Node, key: str, inputs: Mapping[str, Manifest]) -> None:
        """Not here."""
        raise NotImplementedError

    def check(self, node: Node, rows: Callable[[], pa.Table]) -> tuple[dict[str, object], ...]:
        """No checks."""
        return ()


def sources(folder: Path) -> str:
    """Ten training problems, one of them with a benchmark's words, and that benchmark."""
    train = [{"question": f"{prose(100 + i)} {SHARED if i == 7 else ''}", "answer": str(100 + i)} for i in range(10)]
    for name, rows in (("train", train), ("held", [{"question": f"{SHARED} {prose(3)}", "answer": "1"}])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    given = (("train", "train"), ("held", "eval"))
    return "".join(f'\n[[sources]]\nname = "{n}"\nurl = "{folder / n}.jsonl"\nsplit = "{s}"\n' for n, s in given)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake in which sft_mix was made, its model played by `Services`."""
    folder = tmp_path_factory.mktemp("clean")
    recipe = recipe_with(folder, SECTIONS)
    text = (folder / "clean.toml").read_text(encoding="utf-8")
    head, rest = text.split("[[sources]]", 1)
    after = rest[rest.index("\n[base") :]
    (folder / "clean.toml").write_text(head + sources(folder) + after, encoding="utf-8")
    recipe = load_recipe(str(folder / "clean.toml"))
    opened = Lake.open(str(folder / "lake"))
    runner = Runner(opened, recipe.name, Services(opened), report=lambda _: None)
    model = Manifest(kind="checkpoint", name="m", path="data/m/k", key="k", step="s", version="1", digest="d1")
    runner.done["dev2"] = model
    for node in graph(recipe):
        if node.name.startswith("problems") or (
            node.stage == "sft_mix" and set(node.inputs.values()) <= set(runner.done)
        ):
            runner.run(node)
    return opened


def rows_of(lake: Lake, name: str) -> pl.DataFrame:
    return pl.DataFrame(read_rows(lake, resolve(lake, f"clean/{name}")))


def test_problems_lose_the_contaminated_one(lake: Lake) -> None:
    gone = rows_of(lake, "problems/contaminated")
    assert gone.select("reason", "evidence").rows() == [("ngram", SHARED[:160])]
    assert rows_of(lake, "problems").height == rows_of(lake, "problems/given").height - 1 == 10


def test_every_candidate_is_kept_or_has_a_reason(lake: Lake) -> None:
    ids = rows_of(lake, "sft_mix/candidates")["candidate_id"]
    tables = [rows_of(lake, f"sft_mix/{t}") for t in ("drops", "contaminated", "duplicates")]
    assert [t.height for t in tables] == [9, 9, 9]
    parents = rows_of(lake, "sft_mix/reasoning")["parent_id"]
    assert sorted(ids) == sorted([*parents, *(i for t in tables for i in t["row_id"])])
    assert rows_of(lake, "sft_mix/duplicates")["value"].str.split(" ").list.first().is_in(parents.to_list()).all()


def test_the_funnel_tells_of_all_that_left(lake: Lake) -> None:
    found = funnel(lake, "clean/sft_mix/drops")
    assert {(gate, n) for gate, _, n in found.left} == {("verdict", 9), ("contamination", 9), ("near_duplicate", 9)}
    assert found.rows_out == rows_of(lake, "sft_mix/reasoning").height
    assert len(dropped(lake, "clean/sft_mix/drops")) == 3


def test_why_a_candidate_left(lake: Lake) -> None:
    for table, gate in (("contaminated", "contamination"), ("duplicates", "near_duplicate")):
        row = rows_of(lake, f"sft_mix/{table}")["row_id"][0]
        assert gate in str(why(lake, row))
