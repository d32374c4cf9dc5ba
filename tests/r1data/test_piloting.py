"""`r1 pilot` against a fake engine: few prompts are asked, the run asks the rest, and the price comes from them."""

from pathlib import Path

import pytest

from r1data.digest import digest_bytes
from r1data.errors import BudgetExhausted, LakeError, RecipeError
from r1data.lineage import commit
from r1data.manifest import FileEntry, Manifest, checkpoint_digest
from r1data.pilot import read_pilot
from r1data.piloting import pilot
from r1data.pins import pinned
from r1data.plan import plan
from r1data.price import PriceLine, price
from r1data.progress import Progress
from r1data.recipe import SHIPPED, load_recipe
from r1data.run import Session
from r1data.runner import Runner
from r1data.settings import Settings
from r1data.stages import graph
from r1data.storage import Lake
from tests.r1data.test_plan import NoServices

NODE = "eval/base/candidates"
RECIPE = "smoke"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("R1_ENGINE", "fake")
    monkeypatch.setenv("R1_SCRATCH", str(tmp_path / "scratch"))
    return Settings.from_environment(lake=str(tmp_path / "lake"))


@pytest.fixture
def prepared(settings: Settings, model_folder: Path) -> Lake:
    """The problems, and a base model that a fake engine serves."""
    lake, recipe = Lake.open(settings.lake), pinned(load_recipe(RECIPE))
    runner = Runner(lake, recipe.name, NoServices(), report=lambda _: None)
    for node in graph(recipe):
        if node.name == "base":
            break
        runner.run(node)
    key = node.key({role: runner.done[name].digest for role, name in node.inputs.items()})
    files = []
    for path in sorted(model_folder.iterdir()):
        name, data = f"{node.folder(key)}/{path.name}", path.read_bytes()
        lake.write(name, data)
        files.append(FileEntry(path=name, bytes=len(data), sha256=digest_bytes(data)))
    told = {"step": node.step.name, "version": node.step.version, "digest": checkpoint_digest(tuple(files))}
    found = {"name": f"{recipe.name}/base", "path": node.folder(key), "key": key, "files": tuple(files), **told}
    commit(lake, Manifest.model_validate({"kind": "checkpoint", **found}))
    return lake


def ask(settings: Settings, prompts: int) -> list[PriceLine]:
    return pilot(RECIPE, settings, NODE, prompts, lambda _: None)


def test_few_prompts_are_asked_and_priced(prepared: Lake, settings: Settings) -> None:
    (line,) = ask(settings, 5)
    found = read_pilot(prepared, RECIPE, NODE)
    assert found is not None
    asked = sum(d.candidates for d in found.domains)
    assert (sum(d.prompts for d in found.domains), asked) == (5, 5 * 4)
    assert (line.recorded, line.bound, found.complete) == (asked, False, True)
    assert line.tokens is not None
    assert line.prompts is not None
    mean = sum(d.candidates * d.tokens for d in found.domains) / asked
    assert line.tokens.mean == pytest.approx((line.prompts - 5) * 4 * mean, rel=0.5)


def test_the_run_uses_the_answers_again(prepared: Lake, settings: Settings) -> None:
    ask(settings, 5)
    with Session(RECIPE, settings, report=lambda _: None) as session:
        pool = set(prepared.names("calls"))
        for name in ("problems", NODE):
            session.runner.done |= {
                line.node: line.manifest for line in plan(prepared, session.recipe) if line.manifest
            }
            session.run_node(name)
    assert pool < set(prepared.names("calls")), "the pilot's parts stay, others are added"
    recipe = load_recipe(RECIPE)
    assert [p for p in price(prepared, recipe, plan(prepared, recipe)) if p.node == NODE] == []


def test_what_is_missing_is_named_with_what_to_run(settings: Settings) -> None:
    with pytest.raises(LakeError) as caught:
        pilot(RECIPE, settings, NODE, 5, lambda _: None)
    assert "eval/base/candidates: problems and base not in the lake yet" in str(caught.value)
    assert "remedy: run first: r1 run smoke --stage foundations" in str(caught.value)


def test_a_node_that_asks_nothing_is_answered_with_those_that_do(prepared: Lake, settings: Settings) -> None:
    with pytest.raises(RecipeError, match="'problems' asks no checkpoint") as caught:
        pilot(RECIPE, settings, "problems", 5, lambda _: None)
    assert "cold_start/candidates" in str(caught.value)
    with pytest.raises(RecipeError, match="no node 'eval/base/candidate'"):
        pilot(RECIPE, settings, "eval/base/candidate", 5, lambda _: None)


def test_it_is_watched_from_the_first_request_to_the_last(prepared: Lake, settings: Settings) -> None:
    told: list[str] = []
    ended: list[Progress] = []
    pilot(RECIPE, settings, NODE, 5, told.append, ended.append)
    assert ended
    assert (ended[-1].node, ended[-1].done, ended[-1].expected) == (NODE, 20, 20)
    assert ended[-1].ended is not None
    found = read_pilot(prepared, RECIPE, NODE)
    assert found is not None
    assert found.tokens_per_second == pytest.approx(ended[-1].tokens_per_second)


def test_a_budget_stops_it_and_a_run_with_more_goes_on(prepared: Lake, settings: Settings, tmp_path: Path) -> None:
    text = (SHIPPED / "smoke.toml").read_text(encoding="utf-8")
    small = tmp_path / "small.toml"
    limits = "\n[cluster.engine]\nin_flight = 8\n\n[cluster.budget]\nmax_tokens = 500\n"
    small.write_text(text + limits, encoding="utf-8")
    with pytest.raises(BudgetExhausted, match=f"{NODE}: the budget of this run is spent: [0-9,]+ tokens of max_tokens"):
        pilot(str(small), settings, NODE, 20, lambda _: None)
    stopped = read_pilot(prepared, RECIPE, NODE)
    assert stopped is not None
    assert not stopped.complete
    first = sum(d.candidates for d in stopped.domains)
    assert 0 < first < 80
    ended: list[Progress] = []
    pilot(RECIPE, settings, NODE, 20, lambda _: None, ended.append)
    assert (ended[-1].recorded, ended[-1].done) == (first, 80 - first)
    whole = read_pilot(prepared, RECIPE, NODE)
    assert whole is not None
    assert (whole.complete, sum(d.candidates for d in whole.domains)) == (True, 80)
