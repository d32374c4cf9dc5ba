"""Rows added, removed and changed between two datasets, by key."""

from pathlib import Path

import polars as pl
import pytest

import r1data
from benchmarks.pruning import write
from r1data.errors import LakeError
from r1data.storage import Lake
from tests.r1data.inspect.large import candidates


def told(frame: pl.DataFrame) -> set[tuple[str, str, tuple[str, ...] | None]]:
    return {(k, c, None if names is None else tuple(names)) for k, c, names in frame.iter_rows()}


def ids(*places: int) -> list[str]:
    return candidates(places)["candidate_id"].to_list()


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.open(str(tmp_path))


def test_rows_added_removed_and_changed(lake: Lake) -> None:
    write(lake, "a", "candidates", [candidates(range(10)), candidates(range(10, 20))])
    new = candidates(range(1, 10)).with_columns(
        pl.when(pl.col("completion_tokens") == 3).then(99).otherwise("completion_tokens").alias("completion_tokens"),
        pl.when(pl.col("completion_tokens") == 3).then(pl.lit("?")).otherwise("finish_reason").alias("finish_reason"),
        pl.when(pl.col("completion_tokens") == 4).then([0.5]).otherwise("logprobs").alias("logprobs"),
        pl.lit(5.0).alias("latency_ms"),
    )
    write(lake, "b", "candidates", [new.cast({"logprobs": pl.List(pl.Float32)}), candidates(range(10, 21))])
    removed, added, two, one = ids(0, 20, 3, 4)
    found = r1data.compare("bench/a", "bench/b", lake)
    assert told(found) == {
        (removed, "removed", None),
        (added, "added", None),
        (two, "changed", ("completion_tokens", "finish_reason")),
        (one, "changed", ("logprobs",)),
    }
    assert found["candidate_id"].is_sorted()


def test_the_same_rows_in_other_shards_are_the_same(lake: Lake) -> None:
    write(lake, "a", "candidates", [candidates(range(10)), candidates(range(10, 20))])
    write(lake, "b", "candidates", [candidates(range(20))])
    assert r1data.compare("bench/a", "bench/b", lake).is_empty()


def test_a_dataset_is_itself(lake: Lake) -> None:
    write(lake, "a", "candidates", [candidates(range(10))])
    found = r1data.compare("bench/a", "bench/a", lake)
    assert (found.height, found.columns) == (0, ["candidate_id", "change", "columns"])


def test_shards_that_both_have_are_not_read(lake: Lake) -> None:
    old = write(lake, "a", "candidates", [candidates(range(10)), candidates(range(10, 20))])
    write(lake, "b", "candidates", [candidates(range(10)), candidates(range(10, 21))])
    Path(lake.path(old.shards[0].path)).write_bytes(b"gone")
    assert r1data.compare("bench/a", "bench/b", lake)["change"].to_list() == ["added"]


def test_different_tables_are_refused(lake: Lake) -> None:
    write(lake, "a", "candidates", [candidates(range(2))])
    write(lake, "b", "problems", [])
    with pytest.raises(LakeError, match="bench/a holds candidates/2, bench/b holds problems/1"):
        r1data.compare("bench/a", "bench/b", lake)
