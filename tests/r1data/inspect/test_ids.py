"""The index of ids: the same rows with it and without, verified, and files left alone that it does not name."""

from pathlib import Path

import pytest

from benchmarks.expectations import filled
from benchmarks.pruning import write
from r1data.digest import row_id
from r1data.errors import CorruptShard, LakeError
from r1data.ids import IDS, LEAST_ROWS, START, index_of, write_ids
from r1data.inspect import find
from r1data.inspect.find import Finding, full_id, reached, rows_with
from r1data.manifest import MANIFEST, Manifest, corrupt_files
from r1data.refs import resolve
from r1data.storage import Lake
from tests.r1data.inspect.large import large


def indexed(lake: Lake, manifest: Manifest) -> Manifest:
    """The dataset with an index, whatever its size."""
    index = write_ids(lake, manifest, least_rows=0)
    assert index
    found = manifest.model_copy(update={"beside": (index,)})
    lake.write(f"{manifest.path}/{MANIFEST}", found.model_dump_json().encode())
    return found


@pytest.fixture(scope="module")
def lakes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, Lake]:
    """The same dataset without an index and with one."""
    plain, other = (Lake.open(str(tmp_path_factory.mktemp("ids"))) for _ in range(2))
    large(plain, shards=3, rows=40)
    indexed(other, large(other, shards=3, rows=40))
    return plain, other


def found(lake: Lake, *ids: str, key_only: bool = False) -> set[str]:
    return {f.key for f in rows_with(lake, reached(lake), set(ids), key_only=key_only)}


@pytest.mark.parametrize("place", [0, 41, 119])
def test_rows_are_the_same_with_an_index_and_without(lakes: tuple[Lake, Lake], place: int) -> None:
    candidate, problem = row_id("candidate", place), row_id("problem", place // 4)
    for lake in lakes:
        assert found(lake, candidate) == {candidate}
        assert len(found(lake, problem)) == 4
        assert found(lake, problem, key_only=True) == set()
        assert found(lake, candidate, row_id("candidate", 7), "nobody") == {candidate, row_id("candidate", 7)}
        assert found(lake) == set()


@pytest.mark.parametrize("length", [6, 10, START, START + 1, 24])
def test_a_beginning_of_any_length_is_enough(lakes: tuple[Lake, Lake], length: int) -> None:
    whole = row_id("problem", 17)
    assert [full_id(lake, reached(lake), whole[:length]) for lake in lakes] == [whole, whole]


def test_unknown_beginnings_are_refused(lakes: tuple[Lake, Lake]) -> None:
    for lake in lakes:
        with pytest.raises(LakeError, match="no row zzzzzz"):
            full_id(lake, reached(lake), "zzzzzz")


def test_files_that_the_index_does_not_name_are_not_read(tmp_path: Path) -> None:
    lake = Lake.open(str(tmp_path))
    manifest = indexed(lake, large(lake, shards=3, rows=40))
    for shard in manifest.shards[1:]:
        Path(lake.path(shard.path)).write_bytes(b"gone")
    assert found(lake, row_id("candidate", 5)) == {row_id("candidate", 5)}
    assert full_id(lake, reached(lake), row_id("candidate", 5)[:8]) == row_id("candidate", 5)


def test_a_row_of_a_large_file_is_read_without_the_rest(
    lakes: tuple[Lake, Lake], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(find, "WHOLE_BYTES", 0)
    rows: list[Finding] = list(rows_with(lakes[1], reached(lakes[1]), {row_id("candidate", 50)}))
    assert [r.row["completion_tokens"] for r in rows] == [50]


def test_a_damaged_index_is_a_fault_and_no_missing_row(tmp_path: Path) -> None:
    lake = Lake.open(str(tmp_path))
    manifest = indexed(lake, large(lake, shards=2, rows=40))
    assert list(corrupt_files(lake, manifest)) == []
    Path(lake.path(f"{manifest.path}/{IDS}")).write_bytes(b"PAR1" + bytes(40))
    assert list(corrupt_files(lake, manifest)) == [f"{manifest.path}/{IDS}"]
    with pytest.raises(CorruptShard, match="_ids"):
        found(lake, row_id("candidate", 5))


def test_a_commit_writes_the_index_of_a_large_dataset_alone(tmp_path: Path) -> None:
    lake = Lake.open(str(tmp_path))
    assert index_of(large(lake, shards=1, rows=10)) is None
    ids = [row_id("problem", i) for i in range(LEAST_ROWS)]
    write(lake, "problems", "problems", [filled("problems", problem_id=ids)])
    manifest = resolve(lake, "bench/problems")
    assert index_of(manifest) == f"{manifest.path}/{IDS}"
    assert list(corrupt_files(lake, manifest)) == []
    assert found(lake, ids[7]) == {ids[7]}
