"""Pins: a changed file changes the key, an unchanged one does not, a missing one is its step's to report."""

import os
from pathlib import Path

import pytest

from r1data.errors import RecipeError
from r1data.pins import pin, pinned
from r1data.recipe import ModelSource, Recipe, SourceParams, load_recipe
from r1data.stages import graph
from r1data.steps.problems import ProblemsParams, problems


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "p.jsonl"
    path.write_text('{"question": "1+1=?", "answer": "2"}\n')
    return path


def key_of(recipe: Recipe, node: str) -> str:
    return next(n for n in graph(pinned(recipe)) if n.name == node).key({})


def test_a_changed_source_is_read_again(file: Path) -> None:
    source = SourceParams(name="mine", url=str(file))
    recipe = load_recipe("smoke").model_copy(update={"sources": (source,)})
    first = key_of(recipe, "problems")
    assert key_of(recipe, "problems") == first
    file.write_text('{"question": "1+2=?", "answer": "3"}\n')
    os.utime(file, (1, 1))
    assert key_of(recipe, "problems") != first


def test_a_changed_model_folder_is_imported_again(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(b"1")
    recipe = load_recipe("smoke").model_copy(update={"base": ModelSource(path=str(tmp_path / "model"))})
    first = key_of(recipe, "base")
    weights.write_bytes(b"22")
    assert key_of(recipe, "base") != first


def test_what_is_not_there_has_no_pin_and_its_step_says_so(tmp_path: Path) -> None:
    missing = str(tmp_path / "none.jsonl")
    assert pin(missing) == ""
    with pytest.raises(RecipeError, match=r"source 'mine': .*none\.jsonl"):
        problems(params=ProblemsParams(sources=(SourceParams(name="mine", url=missing),)))


def test_a_store_that_refuses_has_no_pin_and_stops_no_plan(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    sources = tuple(SourceParams(name=n, url=f"s3://none-such-bucket/{n}.parquet") for n in "ab")
    recipe = load_recipe("smoke").model_copy(update={"sources": sources})
    assert [source.pin for source in pinned(recipe).sources] == ["", ""]
