"""The plan says what a changed number touches, before anything runs."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from r1data.manifest import Manifest
from r1data.plan import finished, plan
from r1data.recipe import Recipe, load_recipe
from r1data.runner import Runner
from r1data.stages import graph
from r1data.step import Node
from r1data.storage import Lake


class NoServices:
    """Only pure steps are run here."""

    def call(self, node: Node, key: str, inputs: Mapping[str, Manifest]) -> Iterator[pl.DataFrame]:
        """No model here."""
        raise NotImplementedError

    def train(self, node: Node, key: str, inputs: Mapping[str, Manifest]) -> None:
        """No training here."""
        raise NotImplementedError

    def check(self, node: Node, rows: Callable[[], pa.Table]) -> tuple[dict[str, object], ...]:
        """No checks here."""
        return ()


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe("smoke")


@pytest.fixture
def lake(tmp_path: Path, recipe: Recipe) -> Lake:
    opened = Lake.open(str(tmp_path / "lake"))
    runner = Runner(opened, recipe.name, NoServices(), report=lambda _: None)
    for node in graph(recipe)[:3]:
        runner.run(node)
    return opened


def test_empty_lake_runs_everything(tmp_path: Path, recipe: Recipe) -> None:
    lines = plan(Lake.open(str(tmp_path / "none")), recipe)
    assert {line.status for line in lines} == {"run", "depends"}
    assert lines[0].reason == "never run"
    assert not finished(lines)


def test_done_nodes_are_done(lake: Lake, recipe: Recipe) -> None:
    lines = {line.node: line for line in plan(lake, recipe)}
    assert [lines[n].status for n in ("problems", "corpus", "base", "zero")] == ["done", "done", "run", "depends"]


def test_changed_number_is_named(lake: Lake, recipe: Recipe) -> None:
    other = recipe.model_copy(update={"corpus_documents": 500})
    lines = {line.node: line for line in plan(lake, other)}
    assert lines["problems"].status == "done"
    assert (lines["corpus"].status, lines["corpus"].reason) == ("run", "documents: 400 -> 500")
    assert lines["base"].status == "depends"


def test_number_of_a_later_stage_leaves_earlier_ones(lake: Lake, recipe: Recipe) -> None:
    zero = recipe.zero.model_copy(update={"kl": 0.01})
    before = {n.name: n for n in graph(recipe)}
    after = {n.name: n for n in graph(recipe.model_copy(update={"zero": zero}))}
    changed = [name for name in before if before[name].params != after[name].params]
    assert changed == ["zero"]
