"""What the commands that read a whole lake hold at once does not grow with its objects, datasets or rows."""

import gc
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import trace
from r1data.garbage import garbage
from r1data.inspect import followed
from r1data.inspect.faults import Looked, faults
from r1data.inspect.graph import read_graph
from r1data.inspect.impact import impact
from r1data.manifest import MANIFEST, Manifest, Shard
from r1data.refs import move_ref
from r1data.storage import Lake
from schemas import TABLES

SHARDS = 5
ALLOWED = (
    1_000_000  # bytes; a list of all would take several times that. pydantic keeps 16,384 strings that it has read
)


def peak(run: Callable[[], object], expected: object) -> int:
    """Bytes of Python's at most, above those before; what came of it has to be as expected."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        assert run() == expected
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def written(lake: Lake, number: int, shards: int = SHARDS) -> list[Manifest]:
    """Datasets, each made from up to two others, so that the first was made from all."""
    made = []
    for n in range(number):
        places = [f"data/n/shards/{n:016x}{i:016x}.parquet" for i in range(shards)]
        found = [Shard(path=p, rows=1, bytes=1, sha256="0", digest="0", key=Path(p).stem) for p in places]
        above = [m for m in (2 * n + 1, 2 * n + 2) if m < number]
        told = {
            **{"kind": "dataset", "name": f"t/n{n}", "path": f"data/n/{n:032x}", "key": "k", "step": "s"},
            **{"version": "1", "table": TABLES["problems"].id, "digest": f"{n:064x}", "shards": found},
            "parents": [{"role": "r", "name": f"t/n{m}", "path": f"data/n/{m:032x}", "digest": "d"} for m in above],
        }
        made.append(Manifest.model_validate(told))
        names = [*places, *(f"shards/{s.key}.json" for s in found)]
        for name, text in {
            f"{made[-1].path}/{MANIFEST}": made[-1].model_dump_json(),
            **dict.fromkeys(names, "x"),
        }.items():
            path = Path(lake.path(name))  # not as the lake writes, which waits for the disk each time
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="ascii")
    return made


def listed(lake: Lake) -> int:
    """How many units may go, seen one by one."""
    with garbage(lake, 0) as found:
        return sum(1 for _ in found)


def gc_peak(folder: Path, number: int) -> int:
    """Of a lake where the half that the second dataset was made from is reached."""
    lake = Lake.open(str(folder))
    move_ref(lake, "t/n", written(lake, number)[1])
    reached = sum(bin(n + 1).startswith("0b10") for n in range(number))
    return peak(lambda: listed(lake), (number - reached) * (1 + 2 * SHARDS))


def impact_peak(folder: Path, rows: int) -> int:
    """Of a lake where all comes from one source."""
    lake = Lake.open(str(folder))
    trace.made(lake, rows)
    graph = read_graph(lake)
    expected = {"bench/problems": rows // 32, "bench/candidates": rows // 2, "bench/verdicts": rows // 2}
    return peak(lambda: {t.point.name: t.rows for t in impact(lake, graph, "bench").touched}, expected)


def alive() -> int:
    """Manifests in this process."""
    return sum(type(o) is Manifest for o in gc.get_objects())


def test_gc_holds_no_list_of_objects(tmp_path: Path) -> None:
    gc_peak(tmp_path / "warm", 20)  # imports and caches
    grown = gc_peak(tmp_path / "many", 400) - gc_peak(tmp_path / "few", 20)
    assert grown < ALLOWED, "20 times as many objects"


def test_verify_holds_one_manifest(tmp_path: Path) -> None:
    lake = Lake.open(str(tmp_path))
    for manifest in written(lake, 10, 1):
        move_ref(lake, manifest.name, manifest)
    del manifest
    gc.collect()
    looked, before = Looked(), alive()
    found = [alive() for _ in faults(lake, looked)]
    assert (looked.manifests, len(found)) == (10, 10), "every file differs"
    assert max(found) <= before + 2


def test_impact_of_a_source_holds_no_set_of_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "SHARD", 2_000)
    monkeypatch.setattr(followed, "FEW", 500)
    impact_peak(tmp_path / "warm", 4_000)
    grown = impact_peak(tmp_path / "many", 80_000) - impact_peak(tmp_path / "few", 4_000)
    assert grown < ALLOWED, "20 times as many rows"
