"""The core of `r1 diff` and `r1data.compare`: every row that differs comes once, whatever the portions."""

from pathlib import Path

import polars as pl
import pytest

import r1data
from benchmarks.pruning import write
from r1data.inspect.changes import KEY, Sides, differing, keys_of
from r1data.inspect.difference import compare_rows
from r1data.inspect.read import dataset
from r1data.storage import Lake
from schemas import TABLES
from tests.r1data.inspect.large import candidates

TABLE = TABLES["candidates"]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.open(str(tmp_path))


def sides_of(lake: Lake) -> Sides:
    """400 and 500 rows in shards of other sizes: 100 removed, 200 added, a third of the others with a token more."""
    old = candidates(range(400))
    third = pl.col("completion_tokens") % 3 == 0
    more = pl.col("completion_tokens") + third.cast(pl.Int64)
    new = candidates(range(100, 600)).with_columns(more.cast(old.schema["completion_tokens"]))
    a = write(lake, "a", "candidates", [old[:150], old[150:]])
    b = write(lake, "b", "candidates", [new[i : i + 100] for i in range(0, 500, 100)])
    return Sides.of(lake, TABLE, a, b)


@pytest.mark.parametrize(("portion", "detailed"), [(10_000, 10_000), (90, 10_000), (10_000, 7), (37, 3)])
def test_portions_change_nothing(lake: Lake, portion: int, detailed: int) -> None:
    sides = sides_of(lake)
    found = list(differing(sides, portion, detailed))
    counts = pl.concat([f.select(*KEY, "change") for f in found])["change"].value_counts().sort("change")
    assert dict(counts.iter_rows()) == {"added": 200, "changed": 100, "removed": 100}
    changed = pl.concat([f for f in found if "#completion_tokens" in f.columns])
    assert changed["#completion_tokens"].all()
    assert not changed["#completion"].any()
    assert changed.select(KEY).is_unique().all()


def test_diff_and_compare_say_the_same(lake: Lake) -> None:
    sides = sides_of(lake)
    rows = compare_rows(sides, dataset(lake, "bench/a"), shown=500, portion=64)
    frame = r1data.compare("bench/a", "bench/b", lake)
    for name, keys in (("added", rows.added_keys), ("removed", rows.removed_keys), ("changed", rows.changed_keys)):
        assert frame.filter(change=name)["candidate_id"].to_list() == keys
    assert rows.same == 200
    assert set(frame.filter(change="changed")["columns"].explode()) == {"completion_tokens"}


def test_keys_are_found_by_their_hashes(lake: Lake) -> None:
    sides = sides_of(lake)
    removed = pl.concat([f.filter(change="removed") for f in differing(sides) if "#prompt" not in f.columns])
    found = keys_of(sides, sides.a, removed)
    assert set(found[TABLE.key]) == set(candidates(range(100))["candidate_id"])
    assert keys_of(sides, sides.a, removed.clear()).height == 0


def test_an_older_version_lacks_a_column(lake: Lake) -> None:
    a = write(lake, "a", "candidates", [candidates(range(5))])
    write(lake, "b", "candidates", [candidates(range(6))])
    path = a.shards[0].path
    lake.write_table(path, lake.read_table(path).drop_columns(["seed"]))
    frame = r1data.compare("bench/a", "bench/b", lake)
    assert frame.group_by("change").len().sort("change").rows() == [("added", 1), ("changed", 5)]
    assert set(frame["columns"].explode().drop_nulls()) == {"seed"}
