"""The mixture: stated numbers are never passed, the share holds, and every row is taken or left out with a reason."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from r1data.data_params import MixtureParams, PartParams
from r1data.errors import RecipeError
from r1data.recipe import SHIPPED, load_recipe
from r1data.stages import graph
from r1data.steps.examples import examples_frame
from r1data.steps.mixture import composition, left_out, mixed
from schemas import TABLES


def part(name: str, rows: int, characters: int) -> pl.DataFrame:
    columns = {**dict.fromkeys(TABLES["sft_examples"].schema.names, "x"), "chain_of_thought": False}
    made: list[dict[str, object]] = [
        {
            **columns,
            "example_id": f"{name}{i}",
            "completion": "a" * characters,
            "chain_of_thought": False,
            "category": name,
        }
        for i in range(rows)
    ]
    return examples_frame(made)


PARTS: dict[str, Any] = {"reasoning": part("math", 60, 30), "general": part("writing", 40, 10)}


@pytest.mark.parametrize(
    ("params", "rows"),
    [
        (MixtureParams(), (60, 40)),
        (MixtureParams(reasoning=PartParams(rows=6), general=PartParams(rows=2)), (6, 2)),
        (MixtureParams(reasoning=PartParams(characters=100)), (3, 40)),
        (MixtureParams(general_share=0.25), (60, 20)),
        (MixtureParams(general_share=0.5, unit="characters"), (13, 40)),
        (MixtureParams(general_share=0.25, reasoning=PartParams(rows=30)), (30, 10)),
    ],
    ids=["all", "rows", "characters", "share", "share of characters", "rows and share"],
)
def test_numbers_and_shares(params: MixtureParams, rows: tuple[int, int]) -> None:
    taken, gone = mixed(params=params, **PARTS), left_out(params=params, **PARTS)
    counts = dict(taken.group_by("category").len().iter_rows())
    assert (counts["math"], counts["writing"]) == rows
    assert taken.height + gone.height == 100
    assert not set(taken["example_id"]) & set(gone["row_id"])
    found = composition(params=params, **PARTS)
    TABLES["mixtures"].conform(found.to_arrow())
    told = dict(found.select("part", "rows_taken").iter_rows())
    assert (told["reasoning"], told["general"]) == rows


def test_the_seed_decides_which() -> None:
    few = {seed: MixtureParams(general=PartParams(rows=5), seed=seed) for seed in (1, 2)}
    first, other = (set(mixed(params=p, **PARTS)["example_id"]) for p in few.values())
    assert first != other
    assert set(mixed(params=few[1], **PARTS)["example_id"]) == first


def test_tokens_by_a_real_tokenizer(model_folder: Path) -> None:
    file = str(model_folder / "tokenizer.json")
    params = MixtureParams(reasoning=PartParams(tokens=90), tokenizer=file)
    found = {row["part"]: row for row in composition(params=params, **PARTS).to_dicts()}
    assert (found["reasoning"]["rows_taken"], found["reasoning"]["tokens_taken"]) == (3, 90)
    assert found["general"]["tokens_given"] == 400
    with pytest.raises(RecipeError, match=r"tokenizer none\.json"):
        mixed(params=MixtureParams(unit="tokens", tokenizer="none.json"), **PARTS)


def test_a_row_beyond_the_limit_leaves_alone() -> None:
    frame = pl.concat([part("small", 5, 10), part("large", 1, 5_000)])
    for seed in range(8):  # the large row at several places in the order
        params = MixtureParams(reasoning=PartParams(characters=100), seed=seed)
        assert mixed(params=params, reasoning=frame, general=PARTS["general"]).filter(category="small").height == 5
        gone = left_out(params=params, reasoning=frame, general=PARTS["general"])
        assert gone.select("row_id", "reason").rows() == [("large0", "characters")]


@pytest.mark.parametrize("empty", ["reasoning", "general"])
def test_a_share_of_an_empty_part_is_an_error(empty: str) -> None:
    parts = {**PARTS, empty: part("x", 0, 1)}
    for made in (mixed, left_out, composition):
        with pytest.raises(
            RecipeError, match=rf"the {empty} part gives no rows.*general_share.*\n  remedy: .*sft_mix/{empty}"
        ):
            made(params=MixtureParams(general_share=0.5), **parts)
    assert mixed(params=MixtureParams(), **parts).height == sum(frame.height for frame in parts.values())


def test_tokens_need_a_tokenizer(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    text = (SHIPPED / "smoke.toml").read_text(encoding="utf-8")
    path.write_text(text + '\n[sft_mix.mixture]\nunit = "tokens"\n', encoding="utf-8")
    with pytest.raises(RecipeError, match=r"sft_mix\.mixture: .*tokenizer\.json"):
        load_recipe(str(path))
    path.write_text(text.replace("[sft_mix]", "[sft_mix]\nseed = 4") + "\n[sft_mix.mixture]\n", encoding="utf-8")
    node = next(n for n in graph(load_recipe(str(path))) if n.name == "sft_mix")
    assert node.params.model_dump()["seed"] == 4


def test_the_papers_mixture_is_a_recipe() -> None:
    recipe = load_recipe("deepseek-r1")
    mixture = recipe.sft_mix.mixture
    assert mixture is not None
    assert (mixture.reasoning.rows, mixture.general.rows) == (600_000, 200_000)
    assert recipe.sft_mix.thoughts is not None
    assert "greeting" not in recipe.sft_mix.thoughts.categories
    assert [s.category for s in recipe.non_reasoning] == [
        "writing",
        "role_play",
        "factual_qa",
        "self_cognition",
        "translation",
        "software",
    ]
