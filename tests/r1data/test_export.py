"""Cards beside datasets, and folders that others load."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from benchmarks.pruning import write
from r1data.card import CARD
from r1data.errors import CorruptShard, LakeError
from r1data.export import export, front_matter, licences
from r1data.refs import list_refs, resolve
from r1data.storage import Lake
from schemas import TABLES
from tests.r1data.inspect.large import REF, candidates, large
from tests.r1data.inspect.tiny_lake import make_lake

needs_datasets = pytest.mark.skipif(find_spec("datasets") is None, reason="needs Hugging Face datasets (`oracle`)")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return make_lake(tmp_path_factory.mktemp("export") / "lake")


def test_every_dataset_has_a_card(lake: Lake) -> None:
    for manifest in (resolve(lake, ref) for ref in list_refs(lake)):
        assert lake.exists(f"{manifest.path}/{CARD}") == (manifest.kind == "dataset")


def test_a_card_tells_columns_parents_counts_and_checks(lake: Lake) -> None:
    manifest = resolve(lake, "tiny/cold_start/drops")
    text = lake.read(f"{manifest.path}/{CARD}").decode()
    lines = text.splitlines()
    assert lines[0] == "# tiny/cold_start/drops"
    assert "| row_id | large_string | the row that left (key) |" in lines
    assert f"| verdicts | tiny/cold_start/verdicts | {resolve(lake, 'tiny/cold_start/verdicts').digest} |" in lines
    assert "| rows_out | 3 |" in lines
    assert "| expect_rows |  | yes |" in lines
    assert f'r1data.scan("tiny/cold_start/drops@{manifest.digest[:12]}")' in text


def test_an_exported_folder_holds_the_rows_and_a_card(tmp_path: Path) -> None:
    lake = Lake.open(str(tmp_path / "lake"))
    manifest = large(lake, shards=3, rows=50)
    files = export(lake, manifest, tmp_path / "out")
    assert [str(f.relative_to(tmp_path / "out")) for f in files] == [
        *(f"data/train-{i:05d}-of-00003.parquet" for i in range(3)),
        "README.md",
    ]
    head, _, body = files[-1].read_text().removeprefix("---\n").partition("---\n")
    (config,) = yaml.safe_load(head)["configs"]
    (split,) = config["data_files"]
    assert (config["config_name"], split["split"], yaml.safe_load(head)["size_categories"]) == (
        "default",
        "train",
        ["n<1K"],
    )
    assert f"# {REF}" in body
    found = pl.read_parquet(sorted((tmp_path / "out").glob(split["path"])))
    assert found.height == 150
    assert found.columns == TABLES["candidates"].schema.names


LOADS = """
import json, socket, sys

def refused(*_: object) -> None:
    raise AssertionError("a look at the network")

socket.socket.connect = refused
from datasets import load_dataset

found = load_dataset(sys.argv[1], streaming=sys.argv[2] == "streaming")
print(json.dumps({
    name: {"types": {f.name: str(f.type) for f in split.features.arrow_schema}, "rows": list(split)}
    for name, split in found.items()
}))
"""


def loaded(folder: Path, how: str = "") -> dict[str, dict[str, Any]]:
    """Types of columns and rows of every split, as `datasets` loads a folder in a process without network."""
    home = folder.parent / "home"
    names = ("HF_HOME", "HF_DATASETS_CACHE", "XDG_CACHE_HOME")
    quiet = dict.fromkeys(("HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK"), "1")
    env = {**os.environ, **dict.fromkeys(names, str(home)), **quiet}
    command = [sys.executable, "-c", LOADS, str(folder), how]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


@needs_datasets
def test_datasets_loads_the_folder_by_its_card(tmp_path: Path) -> None:
    lake = Lake.open(str(tmp_path / "lake"))
    nested = pl.when(pl.col("completion_tokens") % 2 == 0).then([0.5, 1.0]).otherwise(pl.lit([], pl.List(pl.Float64)))
    rows = candidates(range(50)).with_columns(nested.cast(pl.List(pl.Float32)).alias("logprobs"))
    frames = [rows[:30], rows.clear(), rows[30:]]
    files = export(lake, write(lake, "candidates", "candidates", frames), tmp_path / "out")
    assert [f.name for f in files] == ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet", "README.md"]
    files[1].rename(files[1].with_name("named-by-the-card-alone.parquet"))
    (split,) = loaded(tmp_path / "out").items()
    assert split[0] == "train"
    assert split[1]["types"] == {f.name: str(f.type) for f in TABLES["candidates"].schema}
    assert pl.DataFrame(split[1]["rows"], schema=rows.schema).sort("candidate_id").equals(rows.sort("candidate_id"))


@needs_datasets
def test_a_dataset_without_rows_keeps_its_columns(tmp_path: Path) -> None:
    lake = Lake.open(str(tmp_path / "lake"))
    manifest = write(lake, "candidates", "candidates", [candidates([])])
    files = export(lake, manifest, tmp_path / "out")
    assert pl.read_parquet(files[0]).shape == (0, len(TABLES["candidates"].schema))
    assert "streaming=True" in files[-1].read_text()
    (split,) = loaded(tmp_path / "out", "streaming").values()
    assert split == {"types": {f.name: str(f.type) for f in TABLES["candidates"].schema}, "rows": []}


def test_licences_are_those_of_the_problems(lake: Lake) -> None:
    assert set(licences(lake, resolve(lake, "tiny/cold_start/drops"))) == {""}


def test_known_licences_are_named_as_the_hub_does_and_others_in_words(lake: Lake) -> None:
    head = front_matter(resolve(lake, "tiny/cold_start"), ['Ask "Ada"', "Apache-2.0", "CC-BY-4.0"])
    told = yaml.safe_load(head.strip("-"))
    assert told["license"] == ["apache-2.0", "cc-by-4.0", "other"]
    assert told["license_name"] == 'Ask "Ada"'


def test_a_checkpoint_and_a_full_folder_are_refused(lake: Lake, tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="is a checkpoint"):
        export(lake, resolve(lake, "tiny/zero"), tmp_path / "a")
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(LakeError, match="not empty"):
        export(lake, resolve(lake, "tiny/cold_start"), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_a_flipped_bit_is_not_given_away(tmp_path: Path) -> None:
    lake = Lake.open(str(tmp_path / "lake"))
    manifest = large(lake, shards=1, rows=50)
    path = Path(lake.path(manifest.shards[0].path))
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(CorruptShard, match="bytes differ"):
        export(lake, manifest, tmp_path / "out")
    assert not (tmp_path / "out" / "README.md").exists()
