"""What is read of a dataset on S3: bytes, counted by the server."""

from collections.abc import Iterator

import polars as pl
import pytest

import r1data
from benchmarks.counting_s3 import Count, counting_s3
from r1data.digest import row_id
from r1data.storage import Lake
from tests.r1data.inspect.large import REF, large


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lake, Count, int]]:
    folder = tmp_path_factory.mktemp("pruning")
    size = sum(s.bytes for s in large(Lake.open(str(folder))).shards)
    with counting_s3(folder) as (lake, count):
        yield lake, count, size


def read(frame: pl.LazyFrame, count: Count) -> tuple[pl.DataFrame, int]:
    """Rows, and the bytes that they took."""
    count.reset()
    return frame.collect(), count.bytes


def test_one_narrow_column_is_a_fraction_of_the_files(remote: tuple[Lake, Count, int]) -> None:
    lake, count, size = remote
    found, taken = read(r1data.scan(REF, lake).select("finish_reason"), count)
    assert found.height == 6_000
    assert taken < size / 10


def test_one_row_by_key_takes_one_group_of_a_shard(remote: tuple[Lake, Count, int]) -> None:
    lake, count, size = remote
    found, taken = read(r1data.scan(REF, lake).filter(candidate_id=row_id("candidate", 4_321)), count)
    assert found["completion_tokens"].to_list() == [4_321]
    assert taken < size / 2, "of three groups a shard one each, and the footers"


def test_a_sample_reads_keys_and_the_groups_of_its_rows(remote: tuple[Lake, Count, int]) -> None:
    lake, count, size = remote
    count.reset()
    assert r1data.sample(REF, n=1, lake=lake).height == 1
    assert count.bytes < size / 2


def test_rows_come_in_the_order_of_the_shards(remote: tuple[Lake, Count, int]) -> None:
    found = r1data.scan(REF, remote[0], columns=["completion_tokens"]).collect()["completion_tokens"]
    assert [bool(v) for v in (found < 3_000)] == [True] * 3_000 + [False] * 3_000
