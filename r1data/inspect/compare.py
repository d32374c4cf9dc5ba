"""The rows that differ between two datasets of one table, as a Polars frame: by the table's key, with what changed."""

import polars as pl

from r1data.errors import LakeError
from r1data.inspect.changes import KEY, Sides, differing, keys_of
from r1data.inspect.read import dataset, lake_of, table_of
from r1data.storage import Lake

COLUMNS = "columns"


def compare(a: str, b: str, lake: str | Lake | None = None) -> pl.DataFrame:
    """Rows that only `b` has (added), only `a` has (removed) or both have with other values (changed), by key.

    Columns: the table's key; change; columns (of changed rows: which differ, in the table's order). Volatile columns
    (times) are not compared; one that an older version of the table lacks counts as null. `a`, `b` and `lake` as in
    `scan`. Raises `LakeError` where the tables differ. Values are compared as 64-bit hashes; in memory are the rows
    that differ, and of the others a portion at a time (`r1data.inspect.changes`).
    """
    opened = lake_of(lake)
    old, new = dataset(opened, a), dataset(opened, b)
    table = table_of(new)
    if table_of(old) != table:
        raise LakeError(f"{a} holds {old.table}, {b} holds {new.table}", "compare datasets of one table")
    sides = Sides.of(opened, table, old, new)
    hashed = pl.concat([_told(some, sides.columns) for some in differing(sides)])
    removed = pl.col("change") == "removed"
    found = [keys_of(sides, sides.a, hashed.filter(removed)), keys_of(sides, sides.b, hashed.filter(~removed))]
    return pl.concat(found).select(table.key, "change", COLUMNS).sort(table.key)


def _told(some: pl.DataFrame, columns: list[str]) -> pl.DataFrame:
    """The hashes, change and names of the columns that differ; null of rows that only one side has."""
    if "#" + columns[0] not in some.columns:
        return some.select(*KEY, "change", pl.lit(None, pl.List(pl.String)).alias(COLUMNS))
    names = [pl.when(f"#{c}").then(pl.lit(c)) for c in columns]
    return some.select(*KEY, "change", pl.concat_list(names).list.drop_nulls().alias(COLUMNS))
