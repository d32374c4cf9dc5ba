"""Rows by id in everything that refs reach: datasets, and the rollouts that checkpoints carry.

A dataset's index (`r1data.ids`) says which of its files to look at; without one all are. Of these id columns are read,
then the rows: a file of up to WHOLE_BYTES whole, its bytes checked, of a larger one the row groups that may hold them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from r1data.errors import LakeError
from r1data.ids import START, id_columns, index_of
from r1data.inspect.read import lazy, reading, table_of
from r1data.manifest import FileEntry, Manifest, Shard
from r1data.refs import list_refs, resolve
from r1data.storage import Lake
from schemas import TABLES, TableSchema

SHORTEST = 6
WHOLE_BYTES = 8 << 20
LAST = "\U0010ffff"
ROLLOUTS = "/rollouts.parquet"


@dataclass(frozen=True)
class Finding:
    """One row of one dataset, by the first ref that reaches it."""

    ref: str
    table: str
    path: str
    row: dict[str, Any]

    @property
    def key(self) -> str:
        """The row's own id."""
        return str(self.row[TABLES[self.table].key])


def reached(lake: Lake) -> dict[str, Manifest]:
    """Every ref's manifest by the ref's name."""
    return {ref: resolve(lake, ref) for ref in list_refs(lake)}


def full_id(lake: Lake, manifests: Mapping[str, Manifest], start: str) -> str:
    """The one id that begins so; `LakeError` for a beginning too short, for none, and for several (listed)."""
    if len(start) < SHORTEST:
        raise LakeError(f"{start!r}: too short", f"give at least {SHORTEST} characters of a row's id")
    found = ids_from(lake, manifests, start)
    if not found:
        raise LakeError(f"no row {start} in what the refs of {lake.url} reach", "`r1 status` lists the refs")
    return one_of(found, start)


def one_of(ids: set[str], start: str) -> str:
    """The id that is `start` or the only one that begins so; `LakeError` for several (listed)."""
    if start in ids:
        return start
    if len(ids) > 1:
        listed = ", ".join(sorted(ids)[:5]) + (", ..." if len(ids) > 5 else "")
        raise LakeError(f"{len(ids)} ids begin with {start}: {listed}", "give more characters")
    return next(iter(ids))


def ids_from(lake: Lake, manifests: Mapping[str, Manifest], start: str) -> set[str]:
    """All ids that begin so."""
    found: set[str] = set()
    for _, _, table, file in _files(lake, manifests, [start]):
        for column in id_columns(table):
            found |= set(_values(lake, file, column, pl.col(column).is_between(pl.lit(start), pl.lit(start + LAST))))
    return found


def rows_with(
    lake: Lake, manifests: Mapping[str, Manifest], ids: set[str], *, key_only: bool = False
) -> Iterator[Finding]:
    """Rows whose key (or, unless `key_only`, any id column) is one of `ids`; a dataset shared by refs counts once."""
    for ref, path, table, file in _files(lake, manifests, sorted(ids)):
        columns = [table.key] if key_only else id_columns(table)
        test = pl.any_horizontal([pl.col(c).is_in(sorted(ids)) for c in columns])
        if _values(lake, file, columns[0], test):
            yield from (Finding(ref, table.name, path, row) for row in _rows(lake, file, test).to_dicts())


def _files(
    lake: Lake, manifests: Mapping[str, Manifest], starts: list[str]
) -> Iterator[tuple[str, str, TableSchema, Shard | FileEntry]]:
    """(ref, directory, table, file) of the Parquet files that may hold ids that begin so; each directory once."""
    seen: set[str] = set()
    for ref, manifest in manifests.items():
        if manifest.path not in seen:
            seen.add(manifest.path)
            yield from ((ref, manifest.path, table_of(manifest), s) for s in _shards(lake, manifest, starts))
            yield from ((ref, manifest.path, TABLES["rollouts"], f) for f in rollouts_of(manifest) if starts)


def rollouts_of(checkpoint: Manifest) -> list[FileEntry]:
    """The files of rollouts that a checkpoint carries, none or one."""
    return [f for f in checkpoint.files if f.path.endswith(ROLLOUTS)]


def _shards(lake: Lake, manifest: Manifest, starts: list[str]) -> list[Shard]:
    """Those that the dataset's index names, all where it has none."""
    index = index_of(manifest)
    if not starts or index is None:
        return list(manifest.shards) if starts else []
    whole = [s[:START] for s in starts if len(s) >= START]
    tests = [pl.col("id").is_between(pl.lit(s), pl.lit(s + LAST)) for s in starts if len(s) < START]
    tests += [pl.col("id").is_in(whole)] if whole else []
    with reading(lake, index):
        found = lazy(lake, [index]).filter(pl.any_horizontal(tests)).select("file").unique().collect()
    return [manifest.shards[i] for i in sorted(found["file"])]


def _rows(lake: Lake, file: Shard | FileEntry, test: pl.Expr) -> pl.DataFrame:
    if file.bytes <= WHOLE_BYTES:
        return pl.DataFrame(lake.read_table(file.path, file.sha256)).filter(test)
    with reading(lake, file.path):
        return lazy(lake, [file.path]).filter(test).collect()


def _values(lake: Lake, file: Shard | FileEntry, column: str, test: pl.Expr) -> list[str]:
    """A column's distinct values in the rows of a file that pass a test."""
    with reading(lake, file.path):
        found = lazy(lake, [file.path]).filter(test).select(column).unique().collect()
    return [str(v) for v in found[column].drop_nulls()]
