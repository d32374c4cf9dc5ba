"""Datasets as Polars frames: `scan("demo/cold_start")` is a LazyFrame over the current ref, local or on S3.

Only the columns and rows that a query needs are read; bytes are not compared with the manifest (`r1 verify` does that).
"""

import difflib

import polars as pl
import pyarrow.dataset as pads

from r1data.errors import LakeError
from r1data.manifest import Manifest
from r1data.refs import resolve
from r1data.settings import Settings
from r1data.storage import Lake, storage_errors


def scan(ref: str, lake: str | Lake | None = None, columns: list[str] | None = None) -> pl.LazyFrame:
    """The rows that a ref points to, read when collected; the lake is R1_LAKE or ./lake unless given."""
    opened = lake if isinstance(lake, Lake) else Lake.open(Settings.from_environment(lake=lake).lake)
    manifest = resolve(opened, ref)
    if manifest.kind != "dataset":
        raise LakeError(f"{ref} is a checkpoint, not a dataset", f"its files: `r1 show {ref}`")
    frame = lazy(opened, shard_paths(manifest))
    if columns is None:
        return frame
    _known(ref, frame, columns)
    return frame.select(columns)


def sample_rows(ref: str, n: int, by: str | None = None, seed: int = 0, lake: str | Lake | None = None) -> pl.DataFrame:
    """`n` rows of a dataset (with `by`: of each value of that column), chosen by a seed."""
    frame = scan(ref, lake).collect()
    if by is None:
        return frame.sample(min(n, frame.height), seed=seed)
    _known(ref, frame.lazy(), [by])
    return frame.sample(fraction=1.0, shuffle=True, seed=seed).group_by(by, maintain_order=True).head(n).sort(by)


def shard_paths(manifest: Manifest) -> list[str]:
    """The Parquet files of a dataset, by their names in the lake."""
    return [s.path for s in manifest.shards]


def lazy(lake: Lake, paths: list[str]) -> pl.LazyFrame:
    """Parquet files of the lake as one LazyFrame; stores other than the disk go through the lake's own client."""
    if lake.is_local:
        return pl.scan_parquet([lake.path(p) for p in paths])
    with storage_errors(lake, paths[0]):
        source = pads.dataset([lake.path(p) for p in paths], filesystem=lake.fs, format="parquet")
    return pl.scan_pyarrow_dataset(source)


def _known(ref: str, frame: pl.LazyFrame, columns: list[str]) -> None:
    names = frame.collect_schema().names()
    for column in columns:
        if column not in names:
            near = difflib.get_close_matches(column, names, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise LakeError(f"{ref}: no column {column!r}", f"{hint}columns: {', '.join(names)}")
