"""Datasets as frames: by ref, on a disk and on another store, whole or by column."""

import pkgutil
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest

import r1data
from r1data.errors import LakeError
from r1data.refs import resolve
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
        ("tiny/problems@0123", None, "no target of digest '0123'"),
        ("data/problems/none", None, "nothing is published here"),
        ("tiny/problems", "problem", "did you mean 'problem_id'"),
    ],
    ids=["unknown ref", "checkpoint", "unknown digest", "no directory", "unknown column"],
)
def test_what_cannot_be_scanned_is_one_clear_error(lake: Lake, ref: str, column: str | None, says: str) -> None:
    with pytest.raises(LakeError, match=says):
        r1data.scan(ref, lake, columns=[column] if column else None)


@pytest.mark.parametrize("what", ["tiny/problems@{0}", "{1}", "{1}/_manifest.json", "{2}", "{2}/_manifest.json"])
def test_a_target_may_be_named_by_digest_or_directory(lake: Lake, what: str) -> None:
    manifest = resolve(lake, "tiny/problems")
    name = what.format(manifest.digest[:8], manifest.path, lake.uri(manifest.path))
    assert r1data.scan(name, lake).collect().height == 2


def test_an_earlier_target_is_named_by_its_digest(tmp_path: Path) -> None:
    lake = make_lake(tmp_path / "lake")
    before = resolve(lake, "tiny/problems")
    make_lake(tmp_path / "lake", "?")
    assert r1data.scan(f"tiny/problems@{before.digest[:8]}", lake).collect()["question"].to_list() == ["2+1=?", "2+2=?"]


def test_no_subpackage_hides_a_reader() -> None:
    modules = {m.name for m in pkgutil.iter_modules(r1data.__path__)}
    assert not modules & set(r1data.__all__)


def test_import_of_the_package_loads_no_polars() -> None:
    code = "import sys, r1data; print('polars' in sys.modules)"
    root = Path(__file__).resolve().parents[3]
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, timeout=60)
    assert run.stdout.strip() == "False"
