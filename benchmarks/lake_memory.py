"""Peak memory and time of the commands that read a whole lake, at two sizes each: what grows with rows or objects.

python -m benchmarks.lake_memory [ROWS [OBJECTS]]     (10000000 and 200000: 15 minutes of a core, 3 GB of scratch)

Rows: the lake of `benchmarks.trace`, of ROWS and a tenth of them; `impact source` follows every row of it by id.
Objects: a lake of OBJECTS and of a twentieth of them, half of them reached. Each command runs in a process of its own;
measured is by how much its resident memory grew from after the imports to its peak.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.memory import ENVIRONMENT, reset_peak, resident
from benchmarks.trace import ids, made
from r1data.manifest import MANIFEST, Manifest, Shard
from r1data.refs import move_ref
from r1data.storage import Lake
from schemas import TABLES

SHARDS = 200  # of a dataset in the lake of objects
MB = 1e6


def many_objects(lake: Lake, number: int) -> None:
    """A pointer to every shard; of two datasets one is behind a ref. Written without waiting for the disk."""
    for n in range(number // (2 * SHARDS)):
        keys = [f"{n:016x}{i:016x}" for i in range(SHARDS)]
        folder, table = f"data/n{n}/{n:032x}", TABLES["problems"].id
        shards = tuple(
            Shard(path=f"data/n{n}/shards/{k}.parquet", rows=1, bytes=1, sha256="0", digest="0", key=k) for k in keys
        )
        told = {"name": f"bench/n{n}", "path": folder, "table": table, "digest": f"{n:064x}", "shards": shards}
        manifest = Manifest.model_validate({"kind": "dataset", "key": "k", "step": "s", "version": "1", **told})
        texts = {f"{folder}/{MANIFEST}": manifest.model_dump_json(), **{s.path: "x" for s in shards}}
        for name, text in (texts | {f"shards/{k}.json": "{}" for k in keys}).items():
            path = Path(lake.path(name))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="ascii")
        if n % 2 == 0:
            move_ref(lake, f"bench/n{n}", manifest)


def worker(url: str, command: list[str]) -> None:
    """Run one command here, and print by how much memory grew and how long it took."""
    import polars  # noqa: F401

    from r1data.cli import care, clearing, lineage, look  # noqa: F401
    from r1data.cli.app import Options, app
    from r1data.inspect import impact, picture, trace  # noqa: F401

    reset_peak()
    before, at, used = resident("VmRSS"), time.perf_counter(), time.process_time()
    code = app([*command, "--lake", url], standalone_mode=False, obj=Options())
    took, cpu = time.perf_counter() - at, time.process_time() - used
    print(f"\npeak {json.dumps([code, resident('VmHWM') - before, took, cpu])}", flush=True)


def measured(url: str, command: list[str]) -> tuple[float, float, float]:
    """Bytes, seconds and CPU seconds of a command, in a process of its own."""
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.lake_memory", "worker", url, *command],
        capture_output=True,
        text=True,
        timeout=3600,
        env={**os.environ, **ENVIRONMENT},
    )
    lines = [line.removeprefix("peak ") for line in run.stdout.splitlines() if line.startswith("peak ")]
    if run.returncode or not lines:
        raise SystemExit(run.stdout[-1000:] + run.stderr[-3000:])
    code, size, took, cpu = json.loads(lines[-1])
    assert not code, run.stdout[-1000:]
    return size, took, cpu


def rows_lake(folder: str, rows: int) -> dict[str, list[str]]:
    """The lake of so many rows, and what is asked about it."""
    made(Lake.open(folder), rows)
    row = ids(0, np.array([rows // 3]))[0]
    told = {"verify": ["verify"], "gc": ["gc", "--older-than", "0"], "trace": ["trace", row[:10]], "why": ["why", row]}
    told["lineage show"] = ["lineage", "show", "bench/verdicts"]
    return told | {"impact row": ["impact", row[:10]], "impact source": ["impact", "bench"]}


def objects_lake(folder: str, number: int) -> dict[str, list[str]]:
    """The lake of so many objects; half of them may go."""
    many_objects(Lake.open(folder), number)
    return {"gc": ["gc", "--older-than", "0"]}


def main(rows: int, objects: int) -> None:
    """A table: every command at both sizes."""
    print("| command | lake | growth, MB | s | CPU s | growth, times |\n|---|---|---|---|---|---|")
    for what, make, sizes in (
        ("rows", rows_lake, (rows // 10, rows)),
        ("objects", objects_lake, (objects // 20, objects)),
    ):
        grown: dict[str, float] = {}
        for size in sizes:
            with tempfile.TemporaryDirectory(prefix="lake-") as folder:
                for name, command in make(folder, size).items():
                    peak, took, cpu = measured(folder, command)
                    ratio = f"{peak / grown[name]:.2f}" if name in grown else ""
                    grown[name] = peak
                    print(
                        f"| {name} | {size:,} {what} | {peak / MB:.0f} | {took:.1f} | {cpu:.1f} | {ratio} |", flush=True
                    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        worker(sys.argv[2], sys.argv[3:])
    else:
        given = [int(number) for number in sys.argv[1:]]
        main(*given, *(10_000_000, 200_000)[len(given) :])
