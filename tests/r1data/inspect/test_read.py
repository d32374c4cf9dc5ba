"""Datasets as frames: by ref, on a disk and on another store, whole or by column."""

import pkgutil
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest

import r1data
from r1data.errors import LakeError
from r1data.storage import Lake
from tests.r1data.inspect.tiny_lake import make_lake


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return make_lake(tmp_path_factory.mktemp("read") / "lake")


def test_scan_is_lazy_over_the_current_ref(lake: Lake) -> None:
    frame = r1data.scan("tiny/cold_start", lake.url)
    assert frame.collect()["example_id"].to_list() == ["example-1"]


def test_scan_takes_the_columns_asked_for(lake: Lake) -> None:
    frame = r1data.scan("tiny/problems", lake, columns=["problem_id"])
    assert frame.collect_schema().names() == ["problem_id"]


def test_default_lake_is_that_of_the_environment(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("R1_LAKE", lake.url)
    assert r1data.scan("tiny/problems").collect().height == 2


def test_scan_of_another_store(lake: Lake) -> None:
    memory = fsspec.filesystem("memory")
    for name in lake.names(""):
        memory.pipe_file(f"/elsewhere/{name}", lake.read(name))
    frame = r1data.scan("tiny/cold_start/verdicts", "memory:///elsewhere", columns=["candidate_id", "verdict"])
    assert frame.filter(verdict="correct").collect()["candidate_id"].to_list() == ["candidate-1", "candidate-3"]


@pytest.mark.parametrize(
    ("ref", "column", "says"),
    [
        ("tiny/cold_strt", None, "did you mean tiny/cold_start"),
        ("tiny/zero", None, "is a checkpoint"),
        ("tiny/problems", "problem", "did you mean 'problem_id'"),
    ],
    ids=["unknown ref", "checkpoint", "unknown column"],
)
def test_what_cannot_be_scanned_is_one_clear_error(lake: Lake, ref: str, column: str | None, says: str) -> None:
    with pytest.raises(LakeError, match=says):
        r1data.scan(ref, lake, columns=[column] if column else None)


def test_sample_by_takes_rows_of_each_value(lake: Lake) -> None:
    found = r1data.sample_rows("tiny/cold_start/verdicts", 1, by="verdict", lake=lake)
    assert found["verdict"].to_list() == ["correct", "wrong"]


def test_same_seed_same_sample(lake: Lake) -> None:
    first, second = (r1data.sample_rows("tiny/cold_start/candidates", 2, seed=3, lake=lake) for _ in range(2))
    assert first.equals(second)


def test_no_subpackage_hides_a_reader() -> None:
    modules = {m.name for m in pkgutil.iter_modules(r1data.__path__)}
    assert not modules & set(r1data.__all__)


def test_import_of_the_package_loads_no_polars() -> None:
    code = "import sys, r1data; print('polars' in sys.modules)"
    root = Path(__file__).resolve().parents[3]
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, timeout=60)
    assert run.stdout.strip() == "False"
