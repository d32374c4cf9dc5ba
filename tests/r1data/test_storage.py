"""The lake: whole objects or none, typed errors with the object's name."""

import resource
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from r1data.digest import digest_bytes
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


def test_a_large_file_goes_through_in_pieces(lake: Lake, tmp_path: Path) -> None:
    source = tmp_path / "weights"
    with source.open("wb") as f:
        f.truncate(200 << 20)
    code = (
        "import resource, sys; from pathlib import Path; from r1data.storage import Lake;"
        f"lake = Lake.open({lake.url!r}); before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        f"size, sha256 = lake.put(Path({str(source)!r}), 'm/weights'); assert lake.sha256('m/weights') == sha256;"
        "print(size, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert int(told[0]) == 200 << 20
    assert int(told[1]) < 64 << 10, "KiB beyond what the imports took"
    assert lake.names("m") == ["m/weights"]


def test_put_is_what_write_would_be(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    size, sha256 = lake.put(tmp_path / "f", "d/f")
    lake.write("d/g", b"abc")
    assert (size, sha256) == (3, digest_bytes(b"abc"))
    assert lake.read("d/f") == lake.read("d/g")
    remote = Lake.open("memory://put")
    assert remote.put(tmp_path / "f", "f") == (size, sha256)
    assert remote.read("f") == b"abc"
    assert remote.local_copy(["f"], tmp_path / "copy").joinpath("f").read_bytes() == b"abc"


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
