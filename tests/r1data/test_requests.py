"""Plan and run of a recipe that is finished ask a lake a number of times that shards have no part in."""

from collections import Counter
from pathlib import Path

import pytest

from benchmarks.orchestration import counted, finish
from r1data.plan import finished, plan
from r1data.recipe import SHIPPED, Recipe, load_recipe
from r1data.run import run_recipe
from r1data.settings import Settings
from r1data.stages import graph
from r1data.storage import Lake


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A recipe with a band, for which a run has to know what a gate dropped."""
    path = tmp_path / "finished.toml"
    text = (SHIPPED / "smoke.toml").read_text(encoding="utf-8")
    path.write_text(f"{text}\n[sft_mix.gate.bands]\nverdict = [0.0, 1.0]\n", encoding="utf-8")
    return path


def asked(folder: Path, file: Path, each: int) -> tuple[Recipe, Counter[str], Counter[str]]:
    """What is asked by a plan, and by a run that is not the first, with so many shards in every dataset."""
    recipe, lake = load_recipe(str(file)), Lake.open(str(folder / "lake"), auto_mkdir=True)
    datasets = sum(node.step.output is not None for node in graph(recipe))
    assert finish(lake, recipe, each * datasets) == each * datasets
    settings = Settings.from_environment({"R1_SCRATCH": str(folder / "scratch"), "R1_ENGINE": "fake"}, lake.url)
    with counted() as by_plan:
        assert finished(plan(lake, recipe))
    assert run_recipe(str(file), settings, report=lambda _: None) == 0
    with counted() as by_run:
        assert run_recipe(str(file), settings, report=lambda _: None) == 0
    return recipe, by_plan, by_run


def test_requests_are_bounded_by_nodes_not_shards(tmp_path: Path, file: Path) -> None:
    recipe, by_plan, by_run = asked(tmp_path / "few", file, 1)
    nodes = len(graph(recipe))
    assert nodes <= by_plan.total() <= nodes + 10
    assert nodes <= by_run.total() <= 3 * nodes + 10
    assert by_run["write"] == 0
    _, many_by_plan, many_by_run = asked(tmp_path / "many", file, 9)
    assert (many_by_plan, many_by_run) == (by_plan, by_run)


def test_an_empty_lake_is_asked_once_or_twice_a_node(tmp_path: Path, file: Path) -> None:
    recipe = load_recipe(str(file))
    with counted() as by_plan:
        plan(Lake.open(str(tmp_path / "none")), recipe)
    assert by_plan.total() <= 2 * len(graph(recipe))
    assert set(by_plan) == {"read"}
