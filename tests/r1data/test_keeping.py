"""Checkpoints kept by reference: plan, price and runner take what the ref has, and nothing is trained for them."""

import json
from pathlib import Path

import pytest

from r1data.errors import LakeError, RecipeError
from r1data.keeping import kept_checkpoints, kept_labels
from r1data.lineage import commit
from r1data.manifest import FileEntry, Manifest
from r1data.plan import plan
from r1data.price import price
from r1data.recipe import Recipe, load_recipe, recipe_path
from r1data.refs import move_ref, resolve
from r1data.runner import Runner
from r1data.stages import graph
from r1data.storage import Lake
from tests.r1data.inspect.tiny_lake import make_lake
from tests.r1data.test_plan import NoServices

TRAINED = [n.name for n in graph(load_recipe("smoke")) if n.step.kind == "train"]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """With `tiny/base`, `tiny/zero` and `tiny/dev1`."""
    return make_lake(tmp_path / "lake")


def keeping(**refs: str) -> Recipe:
    return load_recipe("smoke").model_copy(update={"keep": refs})


def left(lake: Lake, ref: str, step: str, words: int = 100) -> Manifest:
    """A checkpoint of a step, and a ref that has it."""
    path = f"data/{ref}"
    file = f"{path}/config.json"
    lake.write(file, json.dumps({"vocab_size": words}).encode())
    files = (FileEntry(path=file, bytes=0, sha256=lake.sha256(file)),)
    made = Manifest(kind="checkpoint", name=ref, path=path, key="k", step=step, version="1", digest="d", files=files)
    commit(lake, made)
    move_ref(lake, ref, made)
    return made


def test_the_plan_takes_the_kept_for_done_and_needs_nothing_before_it(lake: Lake) -> None:
    recipe = keeping(base="@tiny/base", student_base="@tiny/base", zero="@tiny/zero")
    lines = {line.node: line for line in plan(lake, recipe)}
    digest = resolve(lake, "tiny/zero").digest
    assert (lines["zero"].status, lines["zero"].reason) == ("done", f"kept: tiny/zero, {digest[:12]}")
    assert "corpus" not in lines, "nothing is pre-trained on it"
    assert lines["cold_start/candidates"].reason == "on problems", "not on zero"
    Runner(lake, "smoke", NoServices(), report=lambda _: None).run(graph(recipe)[0])
    assert {line.node: line.status for line in plan(lake, recipe)}["cold_start/candidates"] == "run"


def test_the_price_knows_the_kept_model(lake: Lake) -> None:
    recipe = keeping(base="@tiny/base", zero="@tiny/zero")
    Runner(lake, "smoke", NoServices(), report=lambda _: None).run(graph(recipe)[0])
    prices = {line.node: line for line in price(lake, recipe, plan(lake, recipe))}
    assert prices["cold_start/candidates"].prompts == recipe.cold_start.problems


def test_a_kept_node_is_not_run_and_its_ref_is_what_was_found_when_the_run_began(lake: Lake) -> None:
    node = next(n for n in graph(keeping(zero="@tiny/zero")) if n.name == "zero")
    assert (node.inputs, node.kept) == ({}, "tiny/zero")
    kept = kept_checkpoints(lake, [node])
    before = resolve(lake, "tiny/zero")
    move_ref(lake, "tiny/zero", resolve(lake, "tiny/dev1"))
    runner = Runner(lake, "smoke", NoServices(), report=lambda _: None, kept=kept)
    manifest, skipped = runner.run(node)
    assert (manifest.digest, skipped) == (before.digest, True)
    assert resolve(lake, "smoke/zero").digest == before.digest
    assert kept_labels(kept, [node]) == {"kept zero": f"tiny/zero@{before.digest}"}
    earlier = next(n for n in graph(keeping(zero=f"@tiny/zero@{before.digest[:8]}")) if n.name == "zero")
    assert kept_checkpoints(lake, [earlier])["zero"].digest == before.digest


def test_what_served_the_training_alone_goes_with_it() -> None:
    recipe = keeping(dev2="@tiny/zero")
    hard = recipe.model_copy(update={"dev2": recipe.dev2.model_copy(update={"prompts": "mixed"})})
    assert [n.name for n in graph(hard) if n.name.startswith("dev2")] == ["dev2"]
    asked = hard.model_copy(update={"keep": {}})
    assert {"dev2/prompts", "dev2/prompt_drops"} <= {n.name for n in graph(asked)}


def test_every_training_can_be_kept() -> None:
    nodes = graph(keeping(**dict.fromkeys(TRAINED, "@some/ref")))
    assert [n.name for n in nodes if n.kept] == TRAINED
    assert [n.name for n in nodes if n.step.kind == "train" and not n.kept] == []


def test_faults_are_told_with_the_line_of_the_recipe(lake: Lake, tmp_path: Path) -> None:
    left(lake, "tiny/rm", "reward_model")
    left(lake, "other/dev2", "grpo", words=64)
    left(lake, "tiny/dev2", "grpo")
    faults = {
        (LakeError, r"\[keep\] zero = '@tiny/zerro': .*no ref 'tiny/zerro'(.|\n)*did you mean tiny/zero"): {
            "zero": "@tiny/zerro"
        },
        (RecipeError, r"that is a dataset \(tiny/cold_start\)"): {"zero": "@tiny/cold_start"},
        (RecipeError, "tiny/rm was made by reward_model, not a policy"): {"zero": "@tiny/rm"},
        (RecipeError, "not a reward model"): {"rm_safe": "@tiny/zero"},
        (RecipeError, r"dev2 .@tiny/dev2. has 100 tokens, zero .@other/dev2. has 64 tokens"): {
            "zero": "@other/dev2",
            "dev2": "@tiny/dev2",
        },
        (RecipeError, r"\[keep\]: no training 'zeroo'(.|\n)*did you mean 'zero'"): {"zeroo": "@tiny/zero"},
    }
    for (kind, message), refs in faults.items():
        with pytest.raises(kind, match=message):
            plan(lake, keeping(**refs))
    plan(lake, keeping(zero="@other/dev2", distill="@tiny/dev2"))  # a student may have words of its own
    text = recipe_path("smoke").read_text()
    file = tmp_path / "r.toml"
    file.write_text(f'{text}\n[keep]\nzero = "demo/zero"\n')
    with pytest.raises(RecipeError, match=r"keep\.zero"):
        load_recipe(str(file))
