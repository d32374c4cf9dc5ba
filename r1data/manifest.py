"""`Manifest`: what a committed dataset or checkpoint is, where it came from, and how to check it.

A directory holds a dataset only if it has `_manifest.json`, written last. Manifests are read here and written by
`r1data.lineage.commit` alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
from pydantic import ValidationError

from r1data.digest import digest_json
from r1data.errors import CorruptShard, LakeError, MissingManifest, NoSuchObject
from r1data.params import Params
from r1data.storage import Lake

MANIFEST = "_manifest.json"


class Shard(Params):
    """One Parquet file: name within the lake, rows, bytes, SHA-256 of the file, digest of its values, cache key."""

    path: str
    rows: int
    bytes: int
    sha256: str
    digest: str
    key: str


class FileEntry(Params):
    """One file of a checkpoint."""

    path: str
    bytes: int
    sha256: str


class Parent(Params):
    """An input: the role it played, the node it came from, its directory and logical digest."""

    role: str
    name: str
    path: str
    digest: str


class Manifest(Params):
    """A committed dataset (shards of one table) or checkpoint (files); `beside`: what helps to find rows."""

    kind: Literal["dataset", "checkpoint"]
    name: str
    path: str
    key: str
    step: str
    version: str
    table: str | None = None
    digest: str
    rows: int = 0
    shards: tuple[Shard, ...] = ()
    files: tuple[FileEntry, ...] = ()
    beside: tuple[FileEntry, ...] = ()
    parents: tuple[Parent, ...] = ()
    params: dict[str, Any] = {}
    counts: dict[str, int] = {}
    checks: tuple[dict[str, Any], ...] = ()
    probe: dict[str, Any] = {}
    code: dict[str, str] = {}
    labels: dict[str, str] = {}
    started: float = 0.0
    finished: float = 0.0

    @property
    def entries(self) -> tuple[Shard | FileEntry, ...]:
        """Every file of the dataset or checkpoint."""
        return self.shards + self.files


def dataset_digest(table_id: str, shards: tuple[Shard, ...]) -> str:
    """The logical digest of a dataset: its table and its shards' digests in order; no times, paths or encodings."""
    return digest_json([table_id, [s.digest for s in shards]])


def checkpoint_digest(files: tuple[FileEntry, ...]) -> str:
    """The logical digest of a checkpoint: every file's name and SHA-256."""
    return digest_json(sorted([f.path.rsplit("/", 1)[-1], f.sha256] for f in files))


def is_committed(lake: Lake, path: str) -> bool:
    """Whether a directory holds a committed dataset or checkpoint."""
    return find_manifest(lake, path) is not None


def read_manifest(lake: Lake, path: str) -> Manifest:
    """The manifest of a directory; `MissingManifest` where there is none, `CorruptShard` where it is torn."""
    found = find_manifest(lake, path)
    if found is None:
        remedy = "the run that was to write it did not end: run again (finished shards are kept)"
        raise MissingManifest(f"{lake.uri(path)}: no {MANIFEST}, so nothing is published here", remedy)
    return found


def find_manifest(lake: Lake, path: str) -> Manifest | None:
    """The manifest of a directory if it holds a committed dataset or checkpoint; `CorruptShard` where it is torn."""
    if (data := lake.get(f"{path}/{MANIFEST}")) is None:
        return None
    try:
        return Manifest.model_validate_json(data)
    except ValidationError as e:
        raise CorruptShard(f"{lake.uri(path)}/{MANIFEST}: not a manifest: {e}", "restore it from a copy") from e


@dataclass(frozen=True)
class Rows:
    """Rows of one table in some files of a directory, read when asked for."""

    lake: Lake
    table: str
    name: str
    folder: str
    files: tuple[Shard | FileEntry, ...]

    @classmethod
    def of(cls, lake: Lake, dataset: Manifest) -> "Rows":
        """Those of a dataset, committed or about to be."""
        return cls(lake, str(dataset.table).partition("/")[0], dataset.name, dataset.path, dataset.shards)

    def __call__(self, columns: list[str] | None = None) -> pa.Table:
        """All of them in one table, every file's bytes checked."""
        return pa.concat_tables([self.lake.read_table(f.path, f.sha256, columns) for f in self.files])

    def batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """A thousand at a time, in order; only these columns' bytes are read, and not compared with a SHA-256."""
        for file in self.files:
            yield from self.lake.batches(file.path, columns)


def carried(lake: Lake, checkpoint: Manifest) -> list[Rows]:
    """The tables that a checkpoint carries: metrics, rollouts of reinforcement learning, a reward model's bins."""
    files = {f.path.rpartition("/")[2].removesuffix(".parquet"): f for f in checkpoint.files}
    tables = [t for t in ("metrics", "rollouts", "calibration") if t in files and files[t].path.endswith(".parquet")]
    return [Rows(lake, t, checkpoint.name, checkpoint.path, (files[t],)) for t in tables]


def read_rows(lake: Lake, manifest: Manifest, columns: list[str] | None = None) -> pa.Table:
    """All rows of a dataset in one table, every shard's bytes checked."""
    tables = [lake.read_table(s.path, s.sha256, columns) for s in manifest.shards]
    if not tables:
        raise LakeError(f"{manifest.path}: a dataset without shards", "run the step again")
    return pa.concat_tables(tables)


def corrupt_files(lake: Lake, manifest: Manifest) -> Iterator[str]:
    """Names of shards or files that are missing or differ from their SHA-256."""
    for entry in (*manifest.entries, *manifest.beside):
        try:
            same = lake.sha256(entry.path) == entry.sha256
        except NoSuchObject:
            same = False
        if not same:
            yield entry.path
