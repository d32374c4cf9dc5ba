"""The step runner: skip by key, per-shard reuse, nothing visible before the commit, refs with history."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from r1data.errors import CheckFailed, LakeError, MissingManifest
from r1data.manifest import Manifest, corrupt_files, is_committed, read_manifest
from r1data.params import Params
from r1data.refs import read_ref, resolve
from r1data.runner import Runner, frame_of
from r1data.step import Node, Step
from r1data.storage import Lake
from schemas import TABLES


class Told(Params):
    """How many rows, and a mark for the text."""

    rows: int = 3
    mark: str = "!"


class Services:
    """Counts nothing, checks nothing, unless told to fail."""

    fail = False

    def call(self, node: Node, key: str, inputs: Mapping[str, Manifest]) -> Iterator[pl.DataFrame]:
        """No call steps here."""
        raise NotImplementedError

    def train(self, node: Node, key: str, inputs: Mapping[str, Manifest]) -> None:
        """No training here."""
        raise NotImplementedError

    def check(self, node: Node, rows: Callable[[], pa.Table]) -> tuple[dict[str, object], ...]:
        """Fail if told to."""
        if self.fail:
            raise CheckFailed("expect_something: 1 row")
        return ()


def made(*, params: Told) -> pl.DataFrame:
    """Documents d0, d1, ..."""
    names = [f"d{i}" for i in range(params.rows)]
    return pl.DataFrame({"document_id": names, "text": names, "category": "c", "source": "s"})


def marked(*, params: Told, documents: pl.DataFrame) -> pl.DataFrame:
    """The documents with a mark."""
    return documents.with_columns(text=pl.col("text") + params.mark)


def make_node(**told: object) -> Node:
    return Node("made", "s", Step("made", "1", "reduce", TABLES["corpus"], made), Told.model_validate(told))


def mark_node(version: str = "1", **told: object) -> Node:
    step = Step("marked", version, "map", TABLES["corpus"], marked)
    return Node("marked", "s", step, Told.model_validate(told), {"documents": "made"})


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.open(str(tmp_path / "lake"))


def runner(lake: Lake) -> Runner:
    return Runner(lake, "t", Services(), report=lambda _: None)


def test_second_run_skips_everything(lake: Lake) -> None:
    for expected in (False, True):
        r = runner(lake)
        assert [r.run(n)[1] for n in (make_node(), mark_node())] == [expected, expected]


def test_changed_params_recompute_only_what_depends(lake: Lake) -> None:
    r = runner(lake)
    r.run(make_node())
    r.run(mark_node())
    again = runner(lake)
    assert again.run(make_node())[1]
    manifest, skipped = again.run(mark_node(mark="?"))
    assert not skipped
    assert frame_of(lake, manifest)["text"].to_list() == ["d0?", "d1?", "d2?"]
    assert len(read_ref(lake, "t/marked").history) == 1


def test_changed_version_recomputes(lake: Lake) -> None:
    r = runner(lake)
    r.run(make_node())
    r.run(mark_node())
    assert not r.run(mark_node(version="2"))[1]


def test_map_reuses_shards_of_an_interrupted_run(lake: Lake) -> None:
    r = runner(lake)
    r.run(make_node())
    manifest, _ = r.run(mark_node())
    lake.fs.rm(lake.path(f"{manifest.path}/_manifest.json"))
    before = lake.fs.info(lake.path(manifest.shards[0].path))["mtime"]
    again = runner(lake)
    again.run(make_node())
    repeated, skipped = again.run(mark_node())
    assert not skipped
    assert lake.fs.info(lake.path(repeated.shards[0].path))["mtime"] == before
    assert repeated.digest == manifest.digest


def test_failed_check_publishes_nothing(lake: Lake) -> None:
    r = runner(lake)
    r.services.fail = True  # type: ignore[attr-defined]
    with pytest.raises(CheckFailed):
        r.run(make_node())
    with pytest.raises(LakeError, match="no ref"):
        resolve(lake, "t/made")
    assert not [n for n in lake.names("data") if n.endswith("_manifest.json")]


def test_unknown_ref_is_answered_with_the_nearest(lake: Lake) -> None:
    runner(lake).run(make_node())
    with pytest.raises(LakeError, match="did you mean t/made"):
        read_ref(lake, "t/mode")


def test_directory_without_manifest_does_not_exist(lake: Lake) -> None:
    lake.write("data/made/torn/part-00000.parquet", b"x")
    assert not is_committed(lake, "data/made/torn")
    with pytest.raises(MissingManifest, match="data/made/torn"):
        read_manifest(lake, "data/made/torn")


def test_lineage_event_is_written(lake: Lake) -> None:
    r = runner(lake)
    r.run(make_node())
    r.run(mark_node())
    events = [json.loads(lake.read(n)) for n in lake.names("lineage")]
    marks = next(e for e in events if e["job"]["name"] == "t/marked" and e["eventType"] == "COMPLETE")
    assert marks["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == 3
    assert marks["inputs"][0]["facets"]["version"]["datasetVersion"] == resolve(lake, "t/made").digest


def test_corrupt_files_are_named(lake: Lake) -> None:
    manifest, _ = runner(lake).run(make_node())
    Path(lake.path(manifest.shards[0].path)).write_bytes(b"torn")
    assert list(corrupt_files(lake, manifest)) == [manifest.shards[0].path]


def test_duplicate_keys_are_refused(lake: Lake) -> None:
    def twice(*, params: Told) -> pl.DataFrame:
        return pl.concat([made(params=params)] * 2)

    node = Node("twice", "s", Step("twice", "1", "reduce", TABLES["corpus"], twice), Told())
    with pytest.raises(LakeError, match="same document_id"):
        runner(lake).run(node)
