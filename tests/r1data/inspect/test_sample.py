"""Rows of every kind, the same ones everywhere."""

from pathlib import Path

import polars as pl
import pytest

import r1data
from benchmarks.pruning import write
from r1data.errors import LakeError
from r1data.storage import Lake
from tests.r1data.inspect.large import REF, candidates, large


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = Lake.open(str(tmp_path_factory.mktemp("sample")))
    large(lake, shards=3, rows=100)
    return lake


def test_by_takes_rows_of_each_value(lake: Lake) -> None:
    found = r1data.sample(REF, by="finish_reason", n=7, lake=lake)
    assert found["finish_reason"].to_list() == ["length"] * 7 + ["stop"] * 7
    assert found.columns == r1data.scan(REF, lake).collect_schema().names()


def test_by_takes_several_columns_and_all_rows_of_a_small_group(lake: Lake) -> None:
    found = r1data.sample(REF, by=["problem_id", "finish_reason"], n=5, lake=lake)
    assert found.height == 300


def test_shards_change_nothing(lake: Lake, tmp_path: Path) -> None:
    other = Lake.open(str(tmp_path))
    write(other, "candidates", "candidates", [candidates(range(200, 300)), candidates(range(200))])
    ids = [r1data.sample(REF, "finish_reason", 9, seed=4, lake=x)["candidate_id"].to_list() for x in (lake, other)]
    assert ids[0] == ids[1]


def test_a_seed_chooses(lake: Lake) -> None:
    first, second = (r1data.sample(REF, n=20, seed=s, lake=lake) for s in (1, 2))
    assert not first.equals(second)
    assert r1data.sample(REF, n=20, seed=1, lake=lake).equals(first)


def test_a_sample_is_not_of_the_first_rows(lake: Lake) -> None:
    means = [r1data.sample(REF, n=100, seed=s, lake=lake)["completion_tokens"].mean() for s in range(5)]
    assert all(isinstance(m, float) and 120 < m < 180 for m in means)


def test_none_is_an_empty_frame_of_the_table(lake: Lake) -> None:
    found = r1data.sample(REF, n=0, lake=lake)
    assert (found.height, found.schema) == (0, pl.Schema(r1data.scan(REF, lake).collect_schema()))


def test_unknown_columns_and_numbers_are_refused(lake: Lake) -> None:
    with pytest.raises(LakeError, match="did you mean 'finish_reason'"):
        r1data.sample(REF, by="finish", lake=lake)
    with pytest.raises(ValueError, match="not negative"):
        r1data.sample(REF, n=-1, lake=lake)
