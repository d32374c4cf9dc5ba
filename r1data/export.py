"""A dataset as a folder for others: Parquet under `data/` and a README.md that the Hugging Face hub and
`datasets.load_dataset(FOLDER)` understand."""

import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from r1data.card import card
from r1data.digest import digest_bytes
from r1data.errors import CorruptShard, LakeError
from r1data.manifest import Manifest, Shard, is_committed, read_manifest, read_rows
from r1data.storage import Lake
from schemas import TABLES

SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))
LICENCES = (
    *("apache-2.0", "mit", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0"),
    *("cc-by-3.0", "cc-by-sa-3.0", "odc-by", "odbl", "bsd-3-clause"),
)
NO_ROWS = "No rows: `datasets` loads no split without any; `load_dataset(FOLDER, streaming=True)` gives its columns."


def export(lake: Lake, manifest: Manifest, folder: Path) -> list[Path]:
    """Write the folder; returns its files. Every shard's bytes are compared with the manifest; those without rows stay.

    Raises `LakeError` for a checkpoint and for a folder that is not empty. README.md is written last.
    """
    if manifest.kind != "dataset":
        raise LakeError(f"{manifest.name} is a checkpoint, not a dataset", "its files are a model folder already")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise LakeError(f"{folder}: there already, and not empty", "name a new folder")
    head = front_matter(manifest, sorted({name for name in licences(lake, manifest) if name.strip()}))
    (folder / "data").mkdir(parents=True)
    full = [s for s in manifest.shards if s.rows]  # `datasets` reads no file that has a row group without rows
    files = [_copied(lake, s, folder / _name(i, len(full))) for i, s in enumerate(full)]
    files = files or [_without_rows(lake, manifest.shards[0], folder / _name(0, 1))]
    readme = folder / "README.md"
    told = "" if full else f"{NO_ROWS}\n\n"
    readme.write_text(f"{head}\n{told}{card(manifest)}", encoding="utf-8")
    return [*files, readme]


def front_matter(manifest: Manifest, found: list[str]) -> str:
    """The YAML block that begins the README: name, licences, size, where the rows are. JSON strings are YAML."""
    ids = sorted({name.lower() if name.lower() in LICENCES else "other" for name in found})
    size = next((told for limit, told in SIZES if manifest.rows < limit), "n>10M")
    lines = ["---", f"pretty_name: {json.dumps(manifest.name)}"]
    if ids:
        lines += ["license:", *(f"- {name}" for name in ids)]
    if "other" in ids:
        others = ", ".join(name for name in found if name.lower() not in LICENCES)
        lines.append(f"license_name: {json.dumps(others, ensure_ascii=False)}")
    lines += ["size_categories:", f"- {size}", "configs:", "- config_name: default"]
    return "\n".join([*lines, "  data_files:", "  - split: train", "    path: data/*.parquet", "---"])


def licences(lake: Lake, manifest: Manifest) -> Iterator[str]:
    """Licences of the rows, else those of the rows that they were made from; what a model learnt from is left out."""
    seen, following = set(), [manifest]
    while following:
        found = following.pop()
        if found.path in seen or found.kind != "dataset":
            continue
        seen.add(found.path)
        table = str(found.table).partition("/")[0]
        if table in TABLES and "licence" in TABLES[table].schema.names:
            yield from pl.DataFrame(read_rows(lake, found, ["licence"]))["licence"].unique().drop_nulls()
        else:
            there = [p.path for p in found.parents if is_committed(lake, p.path)]
            following += [read_manifest(lake, path) for path in there]


def _name(place: int, number: int) -> str:
    return f"data/train-{place:05d}-of-{number:05d}.parquet"


def _without_rows(lake: Lake, shard: Shard, path: Path) -> Path:
    """The columns of an empty shard, in a file without row groups."""
    with pq.ParquetWriter(path, lake.read_table(shard.path, shard.sha256).schema):
        return path


def _copied(lake: Lake, shard: Shard, path: Path) -> Path:
    data = lake.read(shard.path)
    if digest_bytes(data) != shard.sha256:
        remedy = "`r1 verify` lists what differs; restore it from a copy and export into a new folder"
        raise CorruptShard(f"{lake.uri(shard.path)}: bytes differ from the manifest's SHA-256", remedy)
    path.write_bytes(data)
    return path
