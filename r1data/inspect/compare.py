"""What changed between two datasets of one table, by the table's key.

Shards that both have are not read. Of the others the key and 64 bits of hash a row are in memory, then of the rows that
changed a hash a column.
"""

import polars as pl

from r1data.errors import LakeError
from r1data.inspect.read import dataset, lake_of, lazy, table_of
from r1data.manifest import Manifest
from r1data.storage import Lake

OLD, NEW = "_old", "_new"


def compare(a: str, b: str, lake: str | Lake | None = None) -> pl.DataFrame:
    """Rows that only `b` has (added), only `a` has (removed) or both have with other values (changed), by key.

    Columns: the table's key; change; columns (of changed rows: which differ, in the table's order). Volatile columns
    (times) are not compared, nor are those that only one version of the table has. `a`, `b` and `lake` as in `scan`.
    Raises `LakeError` where the tables differ. Values are compared as 64-bit hashes.
    """
    opened = lake_of(lake)
    old, new = dataset(opened, a), dataset(opened, b)
    table = table_of(new)
    if table_of(old) != table:
        raise LakeError(f"{a} holds {old.table}, {b} holds {new.table}", "compare datasets of one table")
    shared = {s.digest for s in old.shards} & {s.digest for s in new.shards}
    sides = _side(opened, old, shared), _side(opened, new, shared)
    both = set(sides[0].collect_schema().names()) & set(sides[1].collect_schema().names())
    columns = [c for c in table.schema.names if c in both - table.volatile - {table.key}]
    found = _differing(sides, table.key, columns)
    return found.join(_changed(sides, found, table.key, columns), on=table.key, how="left").sort(table.key)


def _side(lake: Lake, manifest: Manifest, shared: set[str]) -> pl.LazyFrame:
    """The rows outside of the shards that the other side has too; no rows where there is no such shard."""
    paths = [s.path for s in manifest.shards if s.digest not in shared]
    return lazy(lake, paths) if paths else lazy(lake, [manifest.shards[0].path]).head(0)


def _differing(sides: tuple[pl.LazyFrame, pl.LazyFrame], key: str, columns: list[str]) -> pl.DataFrame:
    """key and change of every row that is not the same on both sides."""
    old, new = (
        side.select(key, pl.struct(key, *columns).hash().alias(name))
        for side, name in zip(sides, (OLD, NEW), strict=True)
    )
    change = pl.when(pl.col(OLD).is_null()).then(pl.lit("added")).when(pl.col(NEW).is_null()).then(pl.lit("removed"))
    joined = old.join(new, on=key, how="full", coalesce=True).filter(pl.col(OLD).ne_missing(pl.col(NEW)))
    return joined.select(key, change.otherwise(pl.lit("changed")).alias("change")).collect(engine="streaming")


def _changed(
    sides: tuple[pl.LazyFrame, pl.LazyFrame], found: pl.DataFrame, key: str, columns: list[str]
) -> pl.DataFrame:
    """key and the names of the columns that differ, of the changed rows."""
    keys = found.lazy().filter(pl.col("change") == "changed").select(key)
    old, new = (side.join(keys, on=key, how="semi").select(key, pl.col(columns).hash()) for side in sides)
    differ = [
        pl.when(pl.col(c).ne_missing(pl.col(f"{c}{NEW}"))).then(pl.lit(c)).alias(c) for c in columns
    ]  # null where equal
    names = pl.concat_list(differ).list.drop_nulls() if differ else pl.lit([], pl.List(pl.String))
    return old.join(new, on=key, suffix=NEW).select(key, names.alias("columns")).collect(engine="streaming")
