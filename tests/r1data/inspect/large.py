"""Datasets of several shards and row groups, made in a second: CANDIDATES with texts of 4 kB."""

import random
from collections.abc import Iterable

import polars as pl

from benchmarks.pruning import write
from r1data.digest import row_id
from r1data.manifest import Manifest
from r1data.storage import Lake
from tests.r1data.inspect.tiny_lake import filled

REF = "bench/candidates"


def candidates(places: Iterable[int]) -> pl.DataFrame:
    """One row a place, four a problem; texts that do not compress."""
    rows = [
        {
            "candidate_id": row_id("candidate", i),
            "problem_id": row_id("problem", i // 4),
            "completion": random.Random(i).randbytes(2_000).hex(),
            "finish_reason": "length" if i % 5 == 0 else "stop",
            "completion_tokens": i,
        }
        for i in places
    ]
    return filled("candidates", rows)


def large(lake: Lake, shards: int = 2, rows: int = 3_000) -> Manifest:
    """`rows` candidates a shard, behind `bench/candidates`."""
    frames = (candidates(range(s * rows, (s + 1) * rows)) for s in range(shards))
    return write(lake, "candidates", "candidates", frames)
