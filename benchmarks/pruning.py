"""Bytes and requests that `r1data` reads of a dataset on S3, against its size: one column, one row, a sample.

python -m benchmarks.pruning [ROWS]     (20000: half a minute)

Candidates with completions of 4 kB in shards of 10,000 rows, as the runner writes them, behind a server that counts.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import polars as pl

import r1data
from benchmarks.counting_s3 import counting_s3
from benchmarks.expectations import filled
from benchmarks.texts import documents
from r1data.digest import row_id
from r1data.manifest import Manifest, Rows
from r1data.runner import Runner
from r1data.stages.sampling import NoParams
from r1data.step import Node, Step
from r1data.storage import Lake
from schemas import TABLES

SHARD, SAMPLES = 10_000, 16
REF = "bench/candidates"


class Given:
    """Frames that are there already, as a model's answers."""

    def __init__(self, frames: Iterable[pl.DataFrame]) -> None:
        self.frames = frames

    def call(self, node: Node, key: str, inputs: Mapping[str, Manifest]) -> Iterator[pl.DataFrame]:
        """The frames, one a shard."""
        return iter(self.frames)

    def train(self, node: Node, key: str, inputs: Mapping[str, Manifest]) -> None:
        """Not here."""

    def check(self, node: Node, rows: Rows) -> tuple[dict[str, object], ...]:
        """Not here."""
        return ()


def write(lake: Lake, name: str, table: str, frames: Iterable[pl.DataFrame]) -> Manifest:
    """A dataset of these shards, committed by the runner, behind the ref `bench/NAME`."""
    node = Node(name, "bench", Step("given", "1", "call", TABLES[table]), NoParams())
    return Runner(lake, "bench", Given(frames), report=lambda _: None).run(node)[0]


def shards(rows: int) -> Iterator[pl.DataFrame]:
    """CANDIDATES with real solutions, sixteen a problem."""
    texts = documents(min(rows, 50_000))
    for start in range(0, rows, SHARD):
        places = range(start, min(start + SHARD, rows))
        yield filled(
            "candidates",
            candidate_id=[row_id("candidate", i) for i in places],
            problem_id=[row_id("problem", i // SAMPLES) for i in places],
            sample_index=[i % SAMPLES for i in places],
            prompt=[f"User: problem {i // SAMPLES} Assistant: " for i in places],
            completion=[texts[i % len(texts)] for i in places],
            finish_reason=["stop" if i % 7 else "length" for i in places],
            completion_tokens=[1_000 + i % 500 for i in places],
        )


def main(rows: int) -> None:
    """A line a query."""
    with tempfile.TemporaryDirectory(prefix="pruning-") as folder:
        local = Lake.open(folder)
        manifest = write(local, "candidates", "candidates", shards(rows))
        size, key = sum(s.bytes for s in manifest.shards), row_id("candidate", rows // 2)
        print(f"{rows:,} rows in {len(manifest.shards)} shards, {size / 1e6:,.1f} MB")
        with counting_s3(Path(folder)) as (lake, count):
            frame = r1data.scan(REF, lake)
            queries: dict[str, Callable[[], object]] = {
                "manifest and schema": lambda: frame.collect_schema(),
                "finish_reason of all rows": lambda: frame.select("finish_reason").collect(),
                "completion_tokens, mean": lambda: frame.select(pl.col("completion_tokens").mean()).collect(),
                "one row by key": lambda: frame.filter(pl.col("candidate_id") == key).collect(),
                "its number of tokens": lambda: frame.filter(candidate_id=key).select("completion_tokens").collect(),
                "5 rows of each finish_reason": lambda: r1data.sample(REF, "finish_reason", 5, lake=lake),
                "all rows": lambda: frame.collect(),
            }
            for name, query in queries.items():
                count.reset()
                at = time.perf_counter()
                query()
                took, share = time.perf_counter() - at, count.bytes / size
                told = f"{count.bytes:>12,} bytes, {share:8.3%} of the files, {count.requests:>4} requests"
                print(f"{name:<30} {told}, {took:5.2f} s", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 20_000)
