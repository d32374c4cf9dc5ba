"""The lake: whole objects or none, typed errors with the object's name."""

import resource
from pathlib import Path

import pyarrow as pa
import pytest

from r1data.errors import CorruptShard, LakeError, StorageError
from r1data.storage import Lake

TABLE = pa.table({"a": ["x", "y"], "b": [1, 2]})


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.open(str(tmp_path / "lake"))


def test_round_trip(lake: Lake) -> None:
    lake.write("d/one.bin", b"data")
    assert lake.read("d/one.bin") == b"data"
    assert lake.names("d") == ["d/one.bin"]


def test_missing_object_is_named(lake: Lake) -> None:
    with pytest.raises(LakeError, match=r"d/none\.bin: no such object"):
        lake.read("d/none.bin")


def test_flipped_bit_is_found(lake: Lake) -> None:
    _, sha256 = lake.write_table("t.parquet", TABLE)
    path = Path(lake.path("t.parquet"))
    data = bytearray(path.read_bytes())
    data[10] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(CorruptShard, match=r"t\.parquet"):
        lake.read_table("t.parquet", sha256)


def test_text_is_not_parquet(lake: Lake) -> None:
    lake.write("t.parquet", b"hello")
    with pytest.raises(CorruptShard, match="not Parquet"):
        lake.read_table("t.parquet")


def test_no_space_left_leaves_the_old_object(lake: Lake) -> None:
    lake.write("o.bin", b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    try:
        with pytest.raises(StorageError, match="no space left"):
            lake.write("o.bin", b"x" * 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert lake.read("o.bin") == b"old"
    assert lake.names("") == ["o.bin"]


def test_unknown_scheme_is_refused() -> None:
    with pytest.raises(StorageError, match="use a directory"):
        Lake.open("nosuch://bucket/lake")


def test_local_copy_is_the_folder_itself(lake: Lake, tmp_path: Path) -> None:
    lake.write("model/config.json", b"{}")
    assert lake.local_copy(["model/config.json"], tmp_path / "cache") == Path(lake.path("model"))
