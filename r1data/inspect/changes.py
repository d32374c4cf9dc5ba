"""Which rows differ between two datasets of one table, by key: what `r1 diff` and `r1data.compare` are made of.

Shards of the same content are not read. Of the others 24 bytes a row are held, of at most ROWS rows a side: 16 of the
key's hash, 8 of the values'. Of changed rows a hash a column follows, DETAILED rows at a time. Memory does not grow
with the dataset; each portion reads its shards once more.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import polars as pl

from r1data.inspect.read import lazy, reading
from r1data.manifest import Manifest, Shard
from r1data.storage import Lake
from schemas import TableSchema

ROWS = 2_000_000
DETAILED = 250_000
KEY = ["key 1", "key 2"]
WHOLE = "row"
OTHER = "|b"
CODES = ("verdict", "reason", "gate", "split", "kind", "category", "language", "safe")


@dataclass(frozen=True)
class Sides:
    """Two datasets of one table: the shards that only one of them has, and the columns that are compared."""

    lake: Lake
    table: TableSchema
    a: tuple[Shard, ...]
    b: tuple[Shard, ...]

    @classmethod
    def of(cls, lake: Lake, table: TableSchema, a: Manifest, b: Manifest) -> "Sides":
        """As many shards of a content as the other side lacks."""
        spare = Counter(s.digest for s in a.shards) & Counter(s.digest for s in b.shards)
        return cls(lake, table, _rest(a.shards, spare), _rest(b.shards, spare))

    @property
    def columns(self) -> list[str]:
        """All but the key and what is outside of the logical digest, in the table's order."""
        return [c for c in self.table.schema.names if c != self.table.key and c not in self.table.volatile]

    def read(self, shards: Iterable[Shard], query: Callable[[pl.LazyFrame], pl.LazyFrame]) -> Iterator[pl.DataFrame]:
        """What a query finds in each shard; a column that an older version of the table lacks is null in it."""
        types = pl.DataFrame(self.table.empty()).schema
        for shard in shards:
            with reading(self.lake, shard.path):
                frame = lazy(self.lake, [shard.path])
                there = frame.collect_schema().names()
                lacking = [pl.lit(None, types[c]).alias(c) for c in self.table.schema.names if c not in there]
                yield query(frame.with_columns(lacking)).collect(engine="streaming")


def differing(sides: Sides, portion: int = ROWS, detailed: int = DETAILED) -> Iterator[pl.DataFrame]:
    """Every row that is not the same on both sides, once: KEY (hashes) and `change` (added, removed or changed).

    Of changed rows `#COLUMN` says whether that column differs; those of CODES have their values as COLUMN and COLUMN|b.
    """
    pieces = 1 + max(sum(s.rows for s in side) for side in (sides.a, sides.b)) // portion
    for piece in range(pieces):
        old, new = (_hashed(sides, side, pieces, piece) for side in (sides.a, sides.b))
        yield _named(new.join(old, on=KEY, how="anti"), "added")
        yield _named(old.join(new, on=KEY, how="anti"), "removed")
        both = old.join(new, on=KEY, how="inner", suffix=OTHER)
        changed = both.filter(pl.col(WHOLE) != pl.col(f"{WHOLE}{OTHER}")).select(KEY)
        del old, new, both
        for some in changed.iter_slices(detailed):
            yield _detailed(sides, some)


def keys_of(sides: Sides, shards: Iterable[Shard], hashed: pl.DataFrame) -> pl.DataFrame:
    """`hashed` with the key itself, of the rows that the shards have; the key column alone is read."""
    key = sides.table.key
    found = [hashed.clear().with_columns(pl.lit(None, pl.String).alias(key))]
    for frame in sides.read(shards if hashed.height else (), lambda rows: rows.select(*_hashes(key), key)):
        some = hashed.join(frame, on=KEY, how="inner")
        found.append(some.with_columns(pl.Series(key, some[key].to_list(), pl.String)))  # see `_by_column`
    return pl.concat(found, rechunk=True)


def _rest(shards: Iterable[Shard], spare: "Counter[str]") -> tuple[Shard, ...]:
    left, kept = Counter(spare), []
    for shard in shards:
        if left[shard.digest]:
            left[shard.digest] -= 1
        else:
            kept.append(shard)
    return tuple(kept)


def _hashes(key: str) -> list[pl.Expr]:
    return [pl.col(key).hash(1).alias(KEY[0]), pl.col(key).hash(3).alias(KEY[1])]


def _hashed(sides: Sides, shards: Iterable[Shard], pieces: int, piece: int) -> pl.DataFrame:
    """Hashes of key and row, of the rows whose key falls into a piece."""
    key = sides.table.key
    values = pl.struct(sides.columns).hash(2).alias(WHOLE)
    mine = pl.col(key).hash(1) % pieces == piece
    made = sides.read(shards, lambda rows: (rows.filter(mine) if pieces > 1 else rows).select(*_hashes(key), values))
    return pl.concat([pl.DataFrame(schema=dict.fromkeys((*KEY, WHOLE), pl.UInt64)), *made], rechunk=True)


def _named(rows: pl.DataFrame, change: str) -> pl.DataFrame:
    return rows.select(*KEY, pl.lit(change).alias("change"))


def _detailed(sides: Sides, wanted: pl.DataFrame) -> pl.DataFrame:
    """Which columns of these changed rows differ."""
    columns, told = sides.columns, [c for c in sides.columns if c in CODES]
    old, new = (_by_column(sides, side, wanted) for side in (sides.a, sides.b))
    both = old.join(new, on=KEY, how="inner", suffix=OTHER)
    differ = [(pl.col(f"#{c}") != pl.col(f"#{c}{OTHER}")).alias(f"#{c}") for c in columns]
    return both.select(*KEY, pl.lit("changed").alias("change"), *differ, *told, *(f"{c}{OTHER}" for c in told))


def _by_column(sides: Sides, shards: Iterable[Shard], wanted: pl.DataFrame) -> pl.DataFrame:
    """A hash a column of the wanted rows, and the values of columns of codes."""
    key, columns = sides.table.key, sides.columns
    # no strings: those of a few rows would hold on to the buffers of all
    codes = {c: pl.col(c).cast(pl.String).cast(pl.Categorical) for c in columns if c in CODES}
    made = [pl.col(c).hash(2).alias(f"#{c}") for c in columns] + list(codes.values())
    types = {**dict.fromkeys(KEY, pl.UInt64), **{f"#{c}": pl.UInt64 for c in columns}}
    empty = pl.DataFrame(schema={**types, **dict.fromkeys(codes, pl.Categorical)})
    found = sides.read(shards, lambda rows: rows.select(*_hashes(key), *made).join(wanted.lazy(), on=KEY, how="semi"))
    return pl.concat([empty, *found], rechunk=True)
