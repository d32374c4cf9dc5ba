"""Time, requests and bytes of tracing one row through ten million: local disk and S3, with the index and without.

python -m benchmarks.trace [ROWS]     (10000000 in 200 shards: some minutes, 3 GB of scratch)

Half of the rows are candidates, half their verdicts; sixteen of each problem. A row is found by the first ten
characters of its id, and traced to its problem, its verdict and the refs that hold it. Caches of the disk are warm.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.counting_s3 import counting_s3
from benchmarks.expectations import filled
from r1data.ids import index_of
from r1data.inspect.trace import trace
from r1data.lineage import commit
from r1data.manifest import MANIFEST, Manifest, Parent, Shard
from r1data.refs import list_refs, move_ref, resolve
from r1data.storage import Lake
from schemas import TABLES

SHARD, SAMPLES = 50_000, 16


def ids(kind: int, places: np.ndarray) -> pl.Series:
    """24 hex digits that look like hashes, a place always the same ones."""
    mixed = (places.astype(np.uint64) + np.uint64(kind << 40)) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(32)
    text = mixed.astype(">u8").tobytes().hex()
    return pl.Series([f"{text[16 * i : 16 * i + 16]}{p:08x}" for i, p in enumerate(places.tolist())])


def candidates(places: np.ndarray) -> pl.DataFrame:
    """With completions of 200 characters that hardly compress."""
    texts = np.random.default_rng(int(places[0])).bytes(100 * len(places)).hex()
    told = [texts[200 * i : 200 * i + 200] for i in range(len(places))]
    about = {"candidate_id": ids(0, places), "problem_id": ids(1, places // SAMPLES)}
    return filled("candidates", **about, completion=told, model_digest="m")


def verdicts(places: np.ndarray) -> pl.DataFrame:
    """All are right."""
    about = {"candidate_id": ids(0, places), "problem_id": ids(1, places // SAMPLES)}
    return filled("verdicts", **about, verdict="correct", tier="exact")


def problems(places: np.ndarray) -> pl.DataFrame:
    """Of so many candidates."""
    first = places[places % SAMPLES == 0] // SAMPLES
    return filled("problems", problem_id=ids(1, first), question="1+1=?", kind="math", split="train", source="bench")


def shards(lake: Lake, table: str, make: Callable[[np.ndarray], pl.DataFrame], rows: int) -> Iterator[Shard]:
    """A table's shards, sorted by key as the runner sorts them, without a content hash."""
    for start in range(0, rows, SHARD):
        frame = make(np.arange(start, min(start + SHARD, rows))).sort(TABLES[table].key)
        path = f"data/{table}/{'0' * 32}/part-{start // SHARD:05d}.parquet"
        size, sha256 = lake.write_table(path, TABLES[table].conform(frame.to_arrow()))
        yield Shard(path=path, rows=frame.height, bytes=size, sha256=sha256, digest=sha256, key=sha256)


def made(lake: Lake, rows: int) -> None:
    """The lake, its refs moved."""
    above: tuple[Parent, ...] = ()
    for table, make in (("problems", problems), ("candidates", candidates), ("verdicts", verdicts)):
        found = tuple(shards(lake, table, make, rows // 2))
        told: dict[str, Any] = {"name": f"bench/{table}", "path": f"data/{table}/{'0' * 32}", "table": TABLES[table].id}
        told |= {"params": {"sources": [{"name": "bench"}]}, "parents": above, "rows": sum(s.rows for s in found)}
        draft = Manifest(kind="dataset", key="k", step="s", version="1", digest=table, shards=found, **told)
        above = (Parent(role=table, name=draft.name, path=draft.path, digest=draft.digest),)
        at = time.perf_counter()
        manifest = commit(lake, draft)
        took, size = time.perf_counter() - at, sum(f.bytes for f in manifest.beside)
        told_size = sum(s.bytes for s in found) / 1e6
        print(f"{table}: {manifest.rows:,} rows, {len(found)} shards, {told_size:,.0f} MB", end="; ")
        print(f"commit {took:.1f} s, index {size / 1e6:.1f} MB", flush=True)
        move_ref(lake, f"bench/{table}", manifest)


def without_index(lake: Lake) -> None:
    """The same lake as one of before there were indexes."""
    for manifest in (resolve(lake, ref) for ref in list_refs(lake)):
        assert index_of(manifest) or manifest.rows < SHARD
        lake.write(f"{manifest.path}/{MANIFEST}", manifest.model_copy(update={"beside": ()}).model_dump_json().encode())


def told(name: str, lake: Lake, row: str) -> float:
    """Trace a row; a line; the seconds that it took."""
    at = time.perf_counter()
    found = trace(lake, row[:10])
    took = time.perf_counter() - at
    assert found.row_id == row
    assert {(f.table, f.key) for f in found.findings} == {("candidates", row), ("verdicts", row)}
    assert [f.table for f in found.ancestors] == ["problems"]
    print(f"{name:<32} {took:6.2f} s", end="")
    return took


def main(rows: int) -> None:
    """With the index, then without."""
    with tempfile.TemporaryDirectory(prefix="trace-") as folder:
        local = Lake.open(folder)
        made(local, rows)
        row = ids(0, np.array([rows // 3]))[0]
        for index in ("with index", "without index"):
            if index == "without index":
                without_index(local)
            for turn in (1, 2):
                told(f"local, {index}, turn {turn}", local, row)
                print(flush=True)
            with counting_s3(Path(folder)) as (lake, count):
                count.reset()
                told(f"S3 on loopback, {index}", lake, row)
                print(f", {count.requests:,} requests, {count.bytes / 1e6:,.1f} MB", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 10_000_000)
