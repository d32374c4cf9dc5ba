"""Prompts of reinforcement learning: what an earlier checkpoint always or never gets right is left out, and told."""

from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from r1data.errors import RecipeError
from r1data.params import Params
from r1data.recipe import Recipe, load_recipe
from r1data.runner import Runner, frame_of
from r1data.stages import graph
from r1data.step import Node, Step
from r1data.steps.rl_prompts import RlPromptsParams, rl_prompt_drops, rl_prompts
from r1data.storage import Lake
from schemas import TABLES

MIXED = RlPromptsParams(prompts="mixed")
COUNTS = {"always": (8, 0), "never": (0, 8), "often": (7, 1), "unsure": (0, 0)}


def problems(*ids: str) -> pl.DataFrame:
    columns: dict[str, Any] = {f.name: "" for f in TABLES["problems"].schema}
    about = {"kind": "math", "split": "train", "answer": "1"}
    kinds = {"talk": {"kind": "general"}, "held": {"split": "eval"}}
    return pl.DataFrame([{**columns, **about, "problem_id": p, "question": f"{p}?", **kinds.get(p, {})} for p in ids])


def difficulty(**counts: tuple[int, int]) -> pl.DataFrame:
    rows = [
        {
            **dict.fromkeys(("accepted", "undecided", "truncated"), 0),
            **dict.fromkeys(("model", "model_digest"), "m"),
            **dict.fromkeys(("low", "high")),
            "difficulty_id": p,
            "problem_id": p,
            "asked": 8,
            "correct": right,
            "wrong": wrong,
            "pass_rate": right / (right + wrong) if right + wrong else None,
            "completion_tokens": 1.0,
        }
        for p, (right, wrong) in counts.items()
    ]
    return pl.DataFrame(rows, schema=pl.DataFrame(TABLES["difficulty"].empty()).schema)


GIVEN = {"problems": problems(*COUNTS, "new", "talk", "held"), "difficulty": difficulty(**COUNTS)}


def test_mixed_leaves_out_what_is_always_or_never_right() -> None:
    kept = rl_prompts(params=MIXED, **GIVEN)
    assert kept.select("problem_id", "asked", "decided", "correct", "pass_rate").rows() == [
        ("new", 0, 0, 0, None),
        ("often", 8, 8, 7, 7 / 8),
        ("unsure", 8, 0, 0, None),
    ]


def test_what_leaves_says_why() -> None:
    gone = rl_prompt_drops(params=MIXED, **GIVEN)
    assert gone.select("row_id", "gate", "reason", "value", "evidence").rows() == [
        ("always", "difficulty", "all_right", "8/8", "always?"),
        ("never", "difficulty", "all_wrong", "0/8", "never?"),
    ]


def test_all_leaves_nothing_out() -> None:
    params = RlPromptsParams(prompts="all")
    assert rl_prompts(params=params, **GIVEN).height == 5
    assert rl_prompt_drops(params=params, **GIVEN).height == 0


def test_an_empty_set_is_one_clear_error() -> None:
    with pytest.raises(RecipeError, match="each of the 1 verified training problems") as caught:
        rl_prompts(params=MIXED, problems=problems("always", "held"), difficulty=GIVEN["difficulty"])
    assert 'prompts = "all"' in caught.value.remedy


def told(**sections: dict[str, str]) -> Recipe:
    recipe = load_recipe("smoke")
    return recipe.model_copy(update={s: getattr(recipe, s).model_copy(update=told) for s, told in sections.items()})


@pytest.mark.parametrize("change", [{"prompts": "mixed"}, {"curriculum": "easy_first"}], ids=str)
def test_the_last_sampling_before_a_stage_says_what_is_difficult(change: dict[str, str]) -> None:
    nodes = {n.name: n for n in graph(told(dev2=change, r1=change))}
    for stage, sampling in (("dev2", "cold_start"), ("r1", "sft_mix")):
        assert nodes[stage].inputs["prompts"] == f"{stage}/prompts"
        for name in (f"{stage}/prompts", f"{stage}/prompt_drops"):
            assert nodes[name].inputs == {"problems": "problems", "difficulty": f"{sampling}/difficulty"}
    usual = {n.name for n in graph(load_recipe("smoke"))}
    assert nodes.keys() - usual == {"dev2/prompts", "dev2/prompt_drops", "r1/prompts", "r1/prompt_drops"}


@pytest.mark.parametrize("stage", ["zero", "student_rl"])
def test_a_stage_without_a_sampling_before_it_is_refused(stage: str) -> None:
    with pytest.raises(RecipeError, match=rf"\[{stage}\]: prompts = 'mixed'.*nothing before it") as caught:
        graph(told(**{stage: {"prompts": "mixed"}}))
    assert "dev2 and r1" in caught.value.remedy


class _Checks:
    def check(self, node: Node, table: pa.Table) -> tuple[dict[str, object], ...]:
        return ()


def test_the_graphs_nodes_make_the_set_and_what_it_lacks(tmp_path: Path) -> None:
    lake = Lake.open(str(tmp_path / "lake"))
    runner = Runner(lake, "smoke", _Checks(), report=lambda _: None)  # type: ignore[arg-type]
    for name, table in (("problems", "problems"), ("cold_start/difficulty", "difficulty")):
        frame = GIVEN[table]
        runner.run(
            Node(name, "given", Step(table, "1", "reduce", TABLES[table], lambda *, params, f=frame: f), Params())
        )
    nodes = {n.name: n for n in graph(told(dev2={"prompts": "mixed"}))}
    made = {n: frame_of(lake, runner.run(nodes[n])[0])["problem_id"] for n in ("dev2/prompts", "dev2/prompt_drops")}
    assert {n: list(ids) for n, ids in made.items()} == {
        "dev2/prompts": ["new", "often", "unsure"],
        "dev2/prompt_drops": ["always", "never"],
    }
