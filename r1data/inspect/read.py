"""Datasets as Polars frames: `scan("demo/cold_start")` is a LazyFrame over the current ref, local or on S3.

Only the columns and row groups that a query needs are read; bytes are not compared with the manifest (`r1 verify` does
that).
"""

import difflib
from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl
import pyarrow.dataset as pads

from r1data.errors import CorruptShard, LakeError, boundary
from r1data.manifest import Manifest
from r1data.refs import target
from r1data.s3_options import is_s3, scan_options
from r1data.settings import Settings
from r1data.storage import Lake, storage_errors
from schemas import TABLES, TableSchema


def scan(ref: str, lake: str | Lake | None = None, columns: list[str] | None = None) -> pl.LazyFrame:
    """The rows of a dataset in the order of its shards, read when collected; columns as in `schemas/`.

    `ref` is a ref, REF@DIGEST (an earlier target) or a dataset's directory; the lake is R1_LAKE or ./lake unless given.
    Raises `LakeError` for what is not there, for a checkpoint and for unknown columns.
    """
    opened = lake_of(lake)
    frame = lazy(opened, shard_paths(dataset(opened, ref)))
    if columns is None:
        return frame
    known(ref, frame, columns)
    return frame.select(columns)


def lake_of(lake: str | Lake | None) -> Lake:
    """The lake that is meant: given, or R1_LAKE, or ./lake."""
    return lake if isinstance(lake, Lake) else Lake.open(Settings.from_environment(lake=lake).lake)


def dataset(lake: Lake, ref: str) -> Manifest:
    """The manifest of what `ref` names; `LakeError` where that is no dataset."""
    manifest = target(lake, ref)
    if manifest.kind != "dataset":
        raise LakeError(f"{ref} is a checkpoint, not a dataset", f"its files: `r1 show {ref}`")
    return manifest


def table_of(manifest: Manifest) -> TableSchema:
    """The table that a dataset holds; `LakeError` for one that is not known here."""
    name = str(manifest.table).partition("/")[0]
    if name not in TABLES:
        raise LakeError(f"{manifest.path}: unknown table {manifest.table}", "a newer r1data wrote it: update this one")
    return TABLES[name]


def shard_paths(manifest: Manifest) -> list[str]:
    """The Parquet files of a dataset, by their names in the lake."""
    return [s.path for s in manifest.shards]


def lazy(lake: Lake, paths: list[str]) -> pl.LazyFrame:
    """Parquet files of the lake as one LazyFrame; stores that Polars does not know go through the lake's own client."""
    if lake.is_local:
        return pl.scan_parquet([lake.path(p) for p in paths])
    if is_s3(lake):
        with storage_errors(lake, paths[0]):
            return pl.scan_parquet([lake.uri(p) for p in paths], **scan_options(lake))
    with storage_errors(lake, paths[0]):
        source = pads.dataset([lake.path(p) for p in paths], filesystem=lake.fs, format="parquet")
    return pl.scan_pyarrow_dataset(source)


@contextmanager
def reading(lake: Lake, name: str) -> Iterator[None]:
    """Around Polars: a store that is away says so, all else that it raises is a file that is not as it was written."""
    with (
        boundary(CorruptShard, lake.uri(name), "`r1 verify` lists what is missing or differs"),
        storage_errors(lake, name),
    ):
        yield


def known(ref: str, frame: pl.LazyFrame, columns: list[str]) -> None:
    """`LakeError` for a column that the frame lacks, with the nearest one."""
    names = frame.collect_schema().names()
    for column in columns:
        if column not in names:
            near = difflib.get_close_matches(column, names, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise LakeError(f"{ref}: no column {column!r}", f"{hint}columns: {', '.join(names)}")
