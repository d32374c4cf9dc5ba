"""Datasets as Polars frames: `scan("demo/cold_start")` is a LazyFrame over the current ref."""

import polars as pl

from r1data.errors import LakeError
from r1data.refs import resolve
from r1data.settings import Settings
from r1data.storage import Lake


def scan(ref: str, lake: str | None = None) -> pl.LazyFrame:
    """The rows that a ref points to, read when collected; the lake is R1_LAKE or ./lake unless given."""
    opened = Lake.open(Settings.from_environment(lake=lake).lake)
    manifest = resolve(opened, ref)
    if manifest.kind != "dataset":
        raise LakeError(f"{ref} is a checkpoint, not a dataset", f"its files: `r1 show {ref}`")
    if opened.is_local:
        return pl.scan_parquet([opened.path(s.path) for s in manifest.shards])
    tables = [pl.DataFrame(opened.read_table(s.path, s.sha256)) for s in manifest.shards]
    return pl.concat(tables).lazy()


def sample(ref: str, n: int, seed: int = 0, lake: str | None = None) -> pl.DataFrame:
    """`n` rows of a dataset, chosen by a seed."""
    frame = scan(ref, lake).collect()
    return frame.sample(min(n, frame.height), seed=seed)
