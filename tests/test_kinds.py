"""Problems of two kinds in one run: RL samples of programs are judged in the sandbox, by the training process."""

import json
from pathlib import Path

import polars as pl
import pytest

import r1data
from r1data.recipe import SHIPPED
from r1data.refs import resolve
from r1data.storage import Lake
from tests.running import ended, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_programs_are_trained_on_and_sampled(tmp_path: Path) -> None:
    rows = [
        {
            "question": f"Write a Python function f(x) that returns x + {n}.",
            "tests": {
                "calls": [[[1], n + 1], [[5], n + 5]],
                "functions": ["f"],
                "solution": f"def f(x): return {n} + x",
            },
        }
        for n in range(10, 50)
    ]
    problems = tmp_path / "programs.jsonl"
    problems.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    recipe = tmp_path / "kinds.toml"
    source = f'\n[[sources]]\nname = "programs"\nkind = "code"\nurl = "{problems}"\n'
    text = (SHIPPED / "smoke.toml").read_text(encoding="utf-8").replace('name = "smoke"', 'name = "kinds"')
    recipe.write_text(text + source, encoding="utf-8")
    place, scratch = str(tmp_path / "lake"), tmp_path / "scratch"
    run(["run", str(recipe), "--stage", "zero"], place, scratch)

    lake = Lake.open(place)
    rollouts = pl.DataFrame(lake.read_table(f"{resolve(lake, 'kinds/zero').path}/rollouts.parquet"))
    code = r1data.scan("kinds/problems", place).filter(pl.col("kind") == "code").collect()
    mine = rollouts.filter(pl.col("problem_id").is_in(code["problem_id"].to_list()))
    assert {"correct", "wrong"} <= set(mine["verdict"])
    right = mine["completion"].str.contains(r"return x \+ [1-9]\d")
    assert ((mine["verdict"] == "correct") == right).all()

    # sampling keeps right programs too, which the demo's rule cannot refine: it says what would
    status, out = ended(["run", str(recipe), "--stage", "cold_start"], place, scratch)
    assert status == 1
    assert "give the recipe a [cold_start.teacher]" in out
    assert "Traceback" not in out
    verdicts = r1data.scan("kinds/cold_start/verdicts", place).filter(pl.col("tier") == "tests").collect()
    assert {"correct", "wrong"} <= set(verdicts["verdict"])
    assert set(verdicts.filter(pl.col("verdict") == "correct")["share"]) == {1.0}
