"""What may go and what stays: nothing that any target of any ref needs is ever deleted."""

import json
import os
import random
import shutil
import time
from pathlib import Path

import polars as pl
import pytest

from r1data.errors import CorruptShard, LakeError
from r1data.garbage import DAY_S, Unit, remove_scratch, removed, scratch_garbage
from r1data.garbage import garbage as sought
from r1data.generate.sampling import Identity
from r1data.lease import lease
from r1data.manifest import MANIFEST, Manifest, corrupt_files, is_committed, read_manifest
from r1data.params import Params
from r1data.refs import list_refs, move_ref, read_ref, ref_file, resolve
from r1data.runner import Runner
from r1data.served import Served
from r1data.step import Node, Step
from r1data.storage import Lake
from schemas import TABLES
from tests.r1data.inspect.tiny_lake import Services, filled, make_lake

WEEK_S = 7 * DAY_S
KEY = "0123456789abcdef" * 2


def aged(lake: Lake, prefix: str = "", days: float = 30) -> None:
    """Objects below a prefix as if written days ago."""
    when = time.time() - days * DAY_S
    for stored in lake.objects(prefix):
        os.utime(lake.path(stored.name), (when, when))


def garbage(lake: Lake, older_than_s: float, *, answers: bool = False) -> list[Unit]:
    """What may go, as a list."""
    with sought(lake, older_than_s, answers=answers) as found:
        units = list(found)
        told = (len(found), found.objects, found.bytes)
    assert told == (len(units), sum(u.objects for u in units), sum(u.bytes for u in units))
    return units


def names(units: list[Unit]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for unit in units:
        found.setdefault(unit.kind, set()).add(unit.name)
    return found


def forget(lake: Lake, ref: str) -> None:
    """A ref as if it had never been."""
    lake.delete(ref_file(ref))


def needed(lake: Lake) -> set[str]:
    """By another way than the code's: all objects that targets of refs, and their parents, name."""
    found: set[str] = set()

    def follow(path: str) -> None:
        if f"{path}/{MANIFEST}" in found or not is_committed(lake, path):
            return
        manifest = read_manifest(lake, path)
        found.update({f"{path}/{MANIFEST}", *(e.path for e in manifest.entries)})
        for parent in manifest.parents:
            follow(parent.path)

    for ref in list_refs(lake):
        told = read_ref(lake, ref)
        for target in (told.current, *told.history):
            follow(target.path)
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three versions of the recipe, the earlier ones reached as history."""
    folder = tmp_path_factory.mktemp("garbage") / "lake"
    for mark in ("", "?", "!"):
        make_lake(folder, mark)
    return folder


@pytest.fixture
def lake(made: Path, tmp_path: Path) -> Lake:
    """A copy of it, a month old."""
    shutil.copytree(made, tmp_path / "lake")
    lake = Lake.open(str(tmp_path / "lake"))
    aged(lake)
    return lake


def test_a_lake_of_refs_and_their_history_has_no_garbage(lake: Lake) -> None:
    assert garbage(lake, 0) == []


def test_what_nothing_was_made_from_goes_with_its_refs(lake: Lake) -> None:
    paths = {t.path for t in (read_ref(lake, "tiny/dev1").current, *read_ref(lake, "tiny/dev1").history)}
    for ref in list_refs(lake):
        if ref == "tiny/dev1" or ref.startswith("tiny/eval/dev1"):
            forget(lake, ref)
    found = garbage(lake, WEEK_S)
    assert paths <= names(found)["directory"]
    assert not any(u.name.startswith("data/cold_start") for u in found)
    assert removed(lake, found, WEEK_S) == len(found)
    assert not any(Path(lake.path(p)).exists() for p in paths)
    assert garbage(lake, 0) == []


def test_parents_of_what_a_ref_reaches_stay_without_refs_of_their_own(lake: Lake) -> None:
    for ref in list_refs(lake):
        if ref != "tiny/dev1":
            forget(lake, ref)
    kept = needed(lake)
    assert {"data/zero", "data/cold_start/candidates", "data/problems"} <= {n.rpartition("/")[0][:-33] for n in kept}
    removed(lake, garbage(lake, 0), 0)
    assert all(reachable(o.name, kept) for o in lake.objects("data"))
    assert kept <= {o.name for o in lake.objects("data")}


def test_young_things_stay_with_all_that_they_were_made_from(lake: Lake) -> None:
    dev1 = resolve(lake, "tiny/dev1")
    for ref in list_refs(lake):
        if ref != "tiny/base":
            forget(lake, ref)
    aged(lake, dev1.path, days=0)
    kept = needed_of(lake, dev1)
    removed(lake, garbage(lake, WEEK_S), WEEK_S)
    assert all(reachable(o.name, kept) for o in lake.objects("data"))
    assert kept <= {o.name for o in lake.objects("data")}


def needed_of(lake: Lake, manifest: Manifest) -> set[str]:
    move_ref(lake, "kept/it", manifest)
    try:
        return needed(lake)
    finally:
        forget(lake, "kept/it")


def reachable(name: str, kept: set[str]) -> bool:
    """Whether it is one of those, or lies beside the manifest of one."""
    return name in kept or f"{'/'.join(name.split('/')[:-1])}/{MANIFEST}" in kept


@pytest.mark.parametrize("seed", range(8))
def test_nothing_that_any_ref_reaches_is_deleted(lake: Lake, seed: int) -> None:
    rng = random.Random(seed)
    for ref in rng.sample(list_refs(lake), k=rng.randint(1, len(list_refs(lake)) - 1)):
        forget(lake, ref)
    for ref in list_refs(lake):
        told = read_ref(lake, ref)
        if rng.random() < 0.5:
            move_ref(lake, ref, read_manifest(lake, rng.choice((told.current, *told.history)).path))
        if rng.random() < 0.5:
            current = read_ref(lake, ref).model_dump()
            lake.write(ref_file(ref), json.dumps({**current, "history": []}).encode())
    for stored in lake.objects("data"):
        when = time.time() - rng.choice([1, 30]) * DAY_S
        os.utime(lake.path(stored.name), (when, when))
    kept, before = needed(lake), {o.name: o.modified for o in lake.objects("")}
    removed(lake, garbage(lake, WEEK_S), WEEK_S)
    after = {o.name for o in lake.objects("")}
    assert kept <= after
    assert all(before[name] < time.time() - WEEK_S for name in before.keys() - after)
    for ref in list_refs(lake):
        assert list(corrupt_files(lake, resolve(lake, ref))) == []
    removed(lake, garbage(lake, 0), 0)
    assert {o.name for o in lake.objects("data")} == {n for n in before if reachable(n, kept)}


class Told(Params):
    factor: int = 1


def doubled(*, params: Told, problems: pl.DataFrame) -> pl.DataFrame:
    return problems.with_columns(pl.col("metadata") + str(params.factor))


@pytest.fixture
def mapped(lake: Lake) -> Lake:
    """Two maps over the same problems, the second the current one; the first's ref is gone."""
    runner = Runner(lake, "tiny", Services(lake), report=lambda _: None)
    runner.done["problems"] = resolve(lake, "tiny/problems")
    step = Step("double", "1", "map", TABLES["problems"], doubled)
    for name, factor in (("first", 1), ("second", 2)):
        runner.run(Node(name, "s", step, Told(factor=factor), {"problems": "problems"}))
    aged(lake)
    forget(lake, "tiny/first")
    return lake


def test_shards_of_a_map_go_with_their_pointer(mapped: Lake) -> None:
    found = names(garbage(mapped, WEEK_S))
    assert {k: len(v) for k, v in found.items()} == {"directory": 1, "shard": 1, "pointer": 1}
    removed(mapped, garbage(mapped, WEEK_S), WEEK_S)
    second = resolve(mapped, "tiny/second")
    assert mapped.exists(f"shards/{second.shards[0].key}.json")
    assert list(corrupt_files(mapped, second)) == []


def test_a_shard_that_a_new_dataset_uses_again_stays(mapped: Lake) -> None:
    found = garbage(mapped, WEEK_S)
    first = next(u for u in found if u.kind == "directory")
    move_ref(mapped, "tiny/first", read_manifest(mapped, first.name))
    assert removed(mapped, found, WEEK_S) == 0, "reached again since they were listed"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (f"data/zero/{KEY}/part-00000.parquet", "directory"),
        (f"data/a/b/shards/{KEY}.parquet", "shard"),
        (f"data/a/b/shards/.{KEY}.parquet.0a1b2c3d", "temporary file"),
        (f"shards/{KEY}.json", "pointer"),
        (".probe.0a1b2c3d", "temporary file"),
        ("leases/zero/x.json", "lease"),
        ("notes/mine.txt", None),
        ("data/mine.txt", None),
        ("reviews/edits/x.jsonl", None),
    ],
)
def test_what_runs_leave_behind_is_known_by_name(lake: Lake, name: str, kind: str | None) -> None:
    lake.write(name, b"x")
    assert garbage(lake, WEEK_S) == []
    aged(lake)
    found = garbage(lake, WEEK_S)
    assert [u.kind for u in found] == ([kind] if kind else [])
    removed(lake, found, WEEK_S)
    assert lake.exists(name) == (kind is None)


def test_what_a_running_lease_is_on_stays(lake: Lake) -> None:
    lake.write(f"data/zero/{KEY}/model.safetensors", b"x")
    aged(lake)
    with lease(lake, f"zero/{KEY}", print):
        assert garbage(lake, 0) == []
    assert names(garbage(lake, 0)) == {"directory": {f"data/zero/{KEY}"}}


def test_what_was_written_to_since_it_was_listed_stays(lake: Lake) -> None:
    lake.write(f"data/zero/{KEY}/a", b"x")
    aged(lake)
    found = garbage(lake, 0)
    lake.write(f"data/zero/{KEY}/b", b"x")
    assert removed(lake, found, -60) == 0, "garbage still at that age, but somebody writes there"
    assert lake.exists(f"data/zero/{KEY}/a")


def recorded(lake: Lake, model: str, digest: str) -> str:
    """A pool of one answer, a month old."""
    pool = Identity(digest, "s", "t").pool
    row = {"candidate_id": "c", "problem_id": "p", "model": model, "model_digest": digest}
    lake.write_table(f"{pool}/part-1.parquet", filled("candidates", [row]).to_arrow())
    aged(lake, pool)
    return pool


def test_recorded_answers_stay_while_a_recipe_could_use_them(lake: Lake) -> None:
    of_ref = recorded(lake, "tiny/zero", resolve(lake, "tiny/zero").digest)
    teacher = recorded(lake, "teacher", Served("teacher").digest)
    lost = recorded(lake, "tiny/old", "f" * 64)
    assert names(garbage(lake, WEEK_S)) == {"answers": {lost}}
    assert names(garbage(lake, WEEK_S, answers=True)) == {"answers": {of_ref, teacher, lost}}


def test_young_and_unreadable_answers_stay(lake: Lake) -> None:
    lost = recorded(lake, "tiny/old", "f" * 64)
    aged(lake, lost, days=1)
    lake.write("calls/torn/part-1.parquet", b"PAR1")
    aged(lake, "calls/torn")
    assert garbage(lake, WEEK_S) == []


def test_a_lake_that_cannot_be_read_whole_has_no_garbage(lake: Lake) -> None:
    folder = resolve(lake, "tiny/dev1").path
    lake.write(f"{folder}/{MANIFEST}", b"{")
    with pytest.raises(CorruptShard, match="not a manifest"):
        garbage(lake, WEEK_S)
    lake.delete(f"{folder}/{MANIFEST}")
    with pytest.raises(LakeError, match="what it needs is unknown"):
        garbage(lake, WEEK_S)
    for ref in list_refs(lake):
        forget(lake, ref)
    with pytest.raises(LakeError, match="no ref"):
        garbage(lake, WEEK_S)


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    scratch = tmp_path / "scratch"
    for name in (f"zero/{KEY}", f"cold_start/x/{KEY[::-1]}", "models/m", "shards-x", "logs", "mine"):
        (scratch / name).mkdir(parents=True)
        (scratch / name / "f").write_bytes(b"abc")
    return scratch


def test_scratch_keeps_the_young_the_leased_and_the_unknown(lake: Lake, scratch: Path) -> None:
    assert scratch_garbage(scratch, lake) == []
    old = time.time() - 30 * DAY_S
    for path in [scratch, *scratch.rglob("*")]:
        os.utime(path, (old, old))
    with lease(lake, f"zero/{KEY}", print):
        found = [str(p.relative_to(scratch)) for p, _, _ in scratch_garbage(scratch, lake)]
    assert found == [f"cold_start/x/{KEY[::-1]}", "shards-x"]
    remove_scratch(p for p, _, _ in scratch_garbage(scratch, lake))
    assert {p.name for p in scratch.rglob("*")} == {"zero", "cold_start", "x", "models", "logs", "mine", "f"}


def test_objects_tell_size_and_age_in_any_store(tmp_path: Path) -> None:
    for lake in (Lake.open(str(tmp_path)), Lake.open("memory://objects")):
        lake.write("a/b", b"abc")
        (stored,) = lake.objects("")
        assert (stored.name, stored.bytes) == ("a/b", 3)
        assert abs(stored.modified - time.time()) < 60
