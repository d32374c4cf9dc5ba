"""Killed outright with real vLLM: recorded rollouts and candidates are kept, none is missing, none is asked twice."""

from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from r1data.recipe import SHIPPED
from r1data.refs import resolve
from r1data.storage import Lake
from tests.running import ended, kill_at, run, start

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
REAL = {"R1_ENGINE": "vllm"}


def test_killed_while_training_and_while_sampling(tmp_path: Path) -> None:
    place, scratch = str(tmp_path / "lake"), tmp_path / "scratch"
    arguments = ["run", "smoke", "--stage", "cold_start"]
    for mark in ("zero: step 2/3", "cold_start/candidates: "):
        kill_at(mark, start(arguments, place, scratch, REAL))
    status, out = ended(arguments, place, scratch, REAL)
    assert "cold_start/candidates: generate" in out
    assert (status, "0 rows" in out) == (1, True), "an untrained model is never right: no cold-start set is published"
    lake = Lake.open(place)
    candidates = pl.concat([pl.DataFrame(lake.read_table(n)) for n in lake.names("calls") if n.endswith(".parquet")])
    assert max(Counter(candidates["candidate_id"]).values()) == 1
    assert candidates.height == resolve(lake, "smoke/cold_start/candidates").rows

    # the other mode, uninterrupted: the same rollouts, so the same training
    alone, recipe = str(tmp_path / "alone"), tmp_path / "alone.toml"
    text = (SHIPPED / "smoke.toml").read_text(encoding="utf-8")
    recipe.write_text(text.replace("[cluster]", '[cluster]\nrollouts = "in_process"'), encoding="utf-8")
    run(["run", str(recipe), "--stage", "zero"], alone, tmp_path / "scratch-alone", REAL)
    first, second = (_rollouts(Lake.open(p)) for p in (place, alone))
    assert first.equals(second)


def _rollouts(lake: Lake) -> pl.DataFrame:
    """What was asked and answered in every step of zero."""
    columns = ["rollout_id", "step", "seed", "completion", "reward"]
    folder = resolve(lake, "smoke/zero").path
    return pl.DataFrame(lake.read_table(f"{folder}/rollouts.parquet")).select(columns).sort("rollout_id")
