"""Prices of a node from a made-up pilot, against the arithmetic by hand; bounds where there is none."""

from collections.abc import Sequence
from math import sqrt

import polars as pl
import pytest

from r1data.cli.prices import price_rows
from r1data.digest import digest_json
from r1data.generate.sampling import Identity
from r1data.lineage import commit
from r1data.manifest import Manifest, checkpoint_digest
from r1data.pilot import Domain, Pilot, pilot_file
from r1data.plan import plan
from r1data.price import PriceLine, price, total
from r1data.recipe import Recipe, load_recipe
from r1data.run import chosen_prompts
from r1data.runner import Runner, frame_of, parents
from r1data.spending import BudgetParams
from r1data.stages import graph, node_named
from r1data.stages.sampling import GenerateParams
from r1data.storage import Lake
from tests.r1data.inspect.tiny_lake import filled
from tests.r1data.test_plan import NoServices

NODE = "cold_start/candidates"


@pytest.fixture
def recipe() -> Recipe:
    """Two kinds of problems, 30 of them asked 4 times."""
    found = load_recipe("smoke")
    return found.model_copy(update={"cold_start": found.cold_start.model_copy(update={"problems": 30})})


def params_of(recipe: Recipe) -> GenerateParams:
    params = node_named(recipe, NODE).params
    assert isinstance(params, GenerateParams)
    return params


def domain(category: str, **changes: float) -> Domain:
    told = {"prompts": 10, "candidates": 40, "prompt_tokens": 20.0, "tokens": 100.0, "variance": 400.0}
    return Domain.model_validate(
        {"kind": "math", "category": category, "truncated": 0.1, "truncated_tokens": 0.25, **told, **changes}
    )


def leave_pilot(lake: Lake, recipe: Recipe, domains: Sequence[Domain], **changes: object) -> Pilot:
    params = params_of(recipe)
    told = {"sampling_digest": params.sampling.digest(), "template_digest": digest_json(params.template)[:16]}
    found = Pilot.model_validate(
        {
            **told,
            "model": "smoke/zero",
            "model_digest": "d1",
            "when": 0.0,
            "tokens_per_second": 500.0,
            "gpus": 8,
            "complete": True,
            "domains": tuple(domains),
            **changes,
        }
    )
    lake.write(pilot_file(recipe.name, NODE), found.model_dump_json().encode())
    return found


def line_of(lake: Lake, recipe: Recipe) -> PriceLine:
    return next(p for p in price(lake, recipe, plan(lake, recipe)) if p.node == NODE)


def with_problems(lake: Lake, recipe: Recipe) -> pl.DataFrame:
    """Commits the problems, and gives back those that the node asks."""
    runner = Runner(lake, recipe.name, NoServices(), report=lambda _: None)
    runner.run(graph(recipe)[0])
    problems = frame_of(lake, runner.done["problems"])
    ids = [p.problem_id for p in chosen_prompts(problems, params_of(recipe))]
    return problems.filter(pl.col("problem_id").is_in(ids))


def test_the_price_by_hand(lake: Lake, recipe: Recipe) -> None:
    leave_pilot(lake, recipe, [domain("arithmetic"), domain("puzzles", tokens=300.0, candidates=10, variance=900.0)])
    line = line_of(lake, recipe)
    # 30 prompts x 4 samples, the problems not there yet: both domains pooled, 40 x 100 and 10 x 300 tokens
    mean = (40 * 100 + 10 * 300) / 50
    variance = (9 * 400 + 9 * 900 + 10 * (100 - mean) ** 2 + 10 * (300 - mean) ** 2) / 19
    half = 1.96 * 4 * sqrt(variance * (30 + 30**2 / 20))
    assert (line.prompts, line.samples, line.recorded, line.bound) == (30, 4, 0, False)
    assert line.tokens is not None
    assert line.gpu_hours is not None
    assert line.tokens.mean == pytest.approx(120 * mean)
    assert (line.tokens.low, line.tokens.high) == pytest.approx((120 * mean - half, 120 * mean + half))
    assert line.truncated_tokens == pytest.approx(120 * mean * 0.25)
    assert line.gpu_hours.mean == pytest.approx(120 * mean / 500 * 8 / 3600)
    assert line.basis == "pilot of 1970-01-01 00:00 UTC on smoke/zero"


def test_domains_are_counted_where_the_problems_are_there(lake: Lake, recipe: Recipe) -> None:
    asked = with_problems(lake, recipe)
    category = asked["category"][0]
    leave_pilot(lake, recipe, [domain(category), domain("of no problem here", tokens=9_999.0)])
    line = line_of(lake, recipe)
    own = asked.filter((pl.col("category") == category) & (pl.col("kind") == "math")).height
    assert own == asked.height == 30, "this test is of one domain"
    assert line.tokens is not None
    assert line.tokens.mean == pytest.approx(30 * 4 * 100)
    assert line.tokens.high == pytest.approx(12_000 + 1.96 * sqrt(4**2 * 400 * (30 + 30**2 / 10)))


def commit_model(lake: Lake, recipe: Recipe) -> Manifest:
    """Empty checkpoints where the node's model and its ancestors would be."""
    runner = Runner(lake, recipe.name, NoServices(), report=lambda _: None)
    for node in graph(recipe):
        if node.step.kind == "train":
            inputs = {role: runner.done[name] for role, name in node.inputs.items()}
            key = node.key({role: m.digest for role, m in inputs.items()})
            told = {"path": node.folder(key), "key": key, "step": node.step.name, "version": node.step.version}
            found = {"digest": checkpoint_digest(()), "parents": parents(inputs), **told}
            name = f"{recipe.name}/{node.name}"
            commit(lake, Manifest.model_validate({"kind": "checkpoint", "name": name, **found}))
        manifest, _ = runner.run(node)
        if node.name == "zero":
            return manifest
    raise AssertionError("no node zero")


def test_recorded_candidates_are_free(lake: Lake, recipe: Recipe) -> None:
    asked = with_problems(lake, recipe)
    model, params = commit_model(lake, recipe), params_of(recipe)
    identity = Identity(model.digest, params.sampling.digest(), digest_json(params.template)[:16])
    first = asked["problem_id"].to_list()[:5]
    rows = [{"candidate_id": f"{p}{i}", "problem_id": p, "sample_index": i} for p in (*first, "else") for i in range(6)]
    lake.write_table(f"{identity.pool}/part-1.parquet", filled("candidates", rows).to_arrow())
    leave_pilot(lake, recipe, [domain(asked["category"][0])])
    line = line_of(lake, recipe)
    assert line.recorded == 5 * 4, "samples 4 and 5 are not asked for, nor are other problems"
    assert line.tokens is not None
    assert line.tokens.mean == pytest.approx((30 * 4 - 20) * 100)


def adaptive(recipe: Recipe) -> Recipe:
    sampling = recipe.cold_start.sampling.model_copy(update={"stop_at": 2, "max_samples": 16})
    return recipe.model_copy(update={"cold_start": recipe.cold_start.model_copy(update={"sampling": sampling})})


@pytest.mark.parametrize(("complete", "samples"), [(True, 7.5), (False, 16)], ids=["pilot's mean", "stopped: the cap"])
def test_samples_of_early_stops(lake: Lake, recipe: Recipe, complete: bool, samples: float) -> None:
    recipe = adaptive(recipe)
    leave_pilot(lake, recipe, [domain("arithmetic", candidates=75)], complete=complete)
    line = line_of(lake, recipe)
    assert line.samples == samples
    assert line.tokens is not None
    assert line.tokens.mean == pytest.approx(30 * samples * 100)


def test_without_a_pilot_there_is_an_upper_bound(lake: Lake, recipe: Recipe) -> None:
    recipe = adaptive(recipe)
    line = line_of(lake, recipe)
    assert line.tokens is not None
    assert (line.bound, line.samples, line.tokens.high) == (True, 16, 30 * 16 * params_of(recipe).sampling.max_tokens)
    assert (line.gpu_hours, line.basis) == (None, "no pilot: upper bound")


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"sampling_digest": "s2"}, "another sampling"), ({"format": 9}, "format 9")],
    ids=["other sampling", "other format"],
)
def test_a_pilot_that_does_not_fit_is_not_used(
    lake: Lake, recipe: Recipe, changes: dict[str, object], says: str
) -> None:
    leave_pilot(lake, recipe, [domain("arithmetic")], **changes)
    line = line_of(lake, recipe)
    assert line.bound
    assert "no pilot: upper bound; " in line.basis
    assert says in line.basis


def test_a_speed_that_is_not_known_leaves_the_tokens(lake: Lake, recipe: Recipe) -> None:
    leave_pilot(lake, recipe, [domain("arithmetic")], tokens_per_second=0.0)
    line = line_of(lake, recipe)
    assert line.tokens is not None
    assert line.gpu_hours is None


def test_sources_without_a_size_leave_the_number_open(lake: Lake, recipe: Recipe) -> None:
    source = recipe.sources[0].model_copy(update={"split": "eval", "size": 0, "url": "s3://b/x.jsonl"})
    lines = price(lake, recipe.model_copy(update={"sources": (source,)}), plan(lake, recipe))
    evaluated = next(line for line in lines if line.node == "eval/zero/candidates")
    assert (evaluated.prompts, evaluated.tokens) == (None, None)


def test_the_table_and_its_total(lake: Lake, recipe: Recipe) -> None:
    leave_pilot(lake, recipe, [domain("arithmetic", variance=0.0)], tokens_per_second=8 / 3600)
    lines = price(lake, recipe, plan(lake, recipe))
    rows = price_rows([*lines, total(lines)], BudgetParams(gpu_hour_price=2.0, currency="EUR"))
    own = next(row for row in rows if row[0] == NODE)
    assert own[1:5] == ("30", "4", "12,000 (12,000-12,000)", "3,000")
    assert own[6].startswith("24,000.00 (24,000.00-24,000.00) EUR")
    bounds = sum(line.tokens.high for line in lines if line.bound and line.tokens)
    assert rows[-1][0] == "total"
    assert rows[-1][3] == f"12,000 (12,000-{12_000 + bounds:,.0f})"
    assert rows[-1][7] == f"GPU-hours and cost without {len(lines) - 1} of {len(lines)} nodes"
