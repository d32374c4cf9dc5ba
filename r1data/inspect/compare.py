"""Two datasets of one table, or two checkpoints: what differs in rows, parameters, code, inputs and metrics.

Shards of the same content are not read. Of the others, rows are compared by key in portions of ROWS, a key as 16 bytes
of hash and a column as 8, so that memory does not grow with the dataset; every portion reads them once more.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from r1data.errors import LakeError
from r1data.inspect.find import table_of
from r1data.inspect.show import amount, flat, short
from r1data.manifest import Manifest, Shard
from r1data.storage import Lake
from schemas import TableSchema

ROWS = 250_000
TOGETHER = 64
KEY = ["key 1", "key 2"]
SHOWN = 5
TOLD = ("verdict", "reason", "gate", "split", "kind", "category", "language", "safe")
MEASURED = {"evaluations": ["checkpoint", "metric"]}


Hashes = tuple[int, int]


@dataclass(frozen=True)
class Change:
    """A row in both whose values differ: its key, and (column, value in a, value in b)."""

    key: str
    columns: tuple[tuple[str, str, str], ...]


@dataclass
class RowsDiff:
    """Counts of rows; of changed ones also by column, and by (column, value in a, in b) where values are codes."""

    added: int = 0
    removed: int = 0
    same: int = 0
    changed: int = 0
    by_column: Counter[str] = field(default_factory=Counter)
    moves: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    added_keys: list[str] = field(default_factory=list)
    removed_keys: list[str] = field(default_factory=list)
    changed_keys: list[str] = field(default_factory=list)
    examples: tuple[Change, ...] = ()


@dataclass(frozen=True)
class Diff:
    """Facts that differ as (label, in a, in b), rows of a dataset, and numbers as (name, in a, in b)."""

    same: bool
    facts: tuple[tuple[str, str, str], ...]
    rows: RowsDiff | None
    metrics: tuple[tuple[str, float | None, float | None], ...]


def compare(lake: Lake, a: Manifest, b: Manifest, shown: int = SHOWN, portion: int = ROWS) -> Diff:
    """What differs between two datasets of one table or two checkpoints; `LakeError` for one of each or two tables."""
    if a.kind != b.kind or (a.table or "").partition("/")[0] != (b.table or "").partition("/")[0]:
        told = f"{a.name} is a {a.kind} of {a.table or a.step}, {b.name} a {b.kind} of {b.table or b.step}"
        raise LakeError(told, "compare two datasets of one table, or two checkpoints")
    facts = tuple(_facts(a, b))
    if a.kind == "checkpoint":
        return Diff(a.digest == b.digest, facts, None, tuple(_last_metrics(lake, a, b)))
    if a.digest == b.digest:
        return Diff(True, facts, RowsDiff(same=a.rows), ())
    table = table_of(b)
    measured = tuple(_measured(lake, table, a, b)) if table.name in MEASURED else ()
    return Diff(False, facts, compare_rows(lake, table, a, b, shown, portion), measured)


def _facts(a: Manifest, b: Manifest) -> Iterator[tuple[str, str, str]]:
    """What the manifests say differently."""
    yield from _differing(
        "", {"content": a.digest[:12], "holds": amount(a)}, {"content": b.digest[:12], "holds": amount(b)}
    )
    yield from _differing("", _made(a), _made(b))
    yield from _differing("input ", _inputs(a), _inputs(b))
    yield from _differing("param ", dict(flat(a.params)), dict(flat(b.params)))
    yield from _differing("code ", a.code, b.code)
    yield from _differing("count ", a.counts, b.counts)


def _made(m: Manifest) -> dict[str, str]:
    return {"name": m.name, "step": f"{m.step} version {m.version}", "table": m.table or "-"}


def _inputs(m: Manifest) -> dict[str, str]:
    return {p.role: f"{p.name} {p.digest[:12]}" for p in m.parents}


def _differing(prefix: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for name in dict.fromkeys([*a, *b]):
        if name not in a or name not in b or a[name] != b[name]:
            old, new = (_text(side[name]) if name in side else "-" for side in (a, b))
            yield f"{prefix}{name}", old, new


def _text(value: object) -> str:
    return value if isinstance(value, str) and value else short(value)


def compare_rows(
    lake: Lake, table: TableSchema, a: Manifest, b: Manifest, shown: int = SHOWN, portion: int = ROWS
) -> RowsDiff:
    """Rows of one table by key; columns outside the logical digest are not compared."""
    found = RowsDiff()
    sides = _differing_shards(a.shards, b.shards)
    found.same = a.rows - sum(s.rows for s in sides[0])
    pieces = 1 + max(sum(s.rows for s in side) for side in sides) // portion
    columns = [c for c in table.schema.names if c != table.key and c not in table.volatile]
    hashed: tuple[list[Hashes], ...] = ([], [], [])
    for piece in range(pieces):
        old, new = (_hashed(lake, table, columns, side, pieces, piece) for side in sides)
        for kept, some in zip(hashed, _count(found, columns, old, new), strict=True):
            kept += some.head(max(0, shown - len(kept))).rows()
    places = (sides[1], sides[0], sides[1])
    keys = [_keys(lake, table, side, wanted) for side, wanted in zip(places, hashed, strict=True)]
    found.added_keys, found.removed_keys, found.changed_keys = keys
    found.examples = _examples(lake, table, columns, sides, found.changed_keys)
    return found


def _differing_shards(a: tuple[Shard, ...], b: tuple[Shard, ...]) -> tuple[list[Shard], list[Shard]]:
    """Those of each side whose content the other has not; as many of a content as the other lacks."""
    spare = Counter(s.digest for s in a) & Counter(s.digest for s in b)

    def rest(shards: Iterable[Shard]) -> list[Shard]:
        left, kept = Counter(spare), []
        for shard in shards:
            if left[shard.digest]:
                left[shard.digest] -= 1
            else:
                kept.append(shard)
        return kept

    return rest(a), rest(b)


def _hashed(
    lake: Lake, table: TableSchema, columns: list[str], shards: list[Shard], pieces: int, piece: int
) -> pl.DataFrame:
    """Hashes of key and columns, and the values of columns of codes, of the rows whose key falls into a piece.

    A column that an older version of the table lacks counts as null.
    """
    key, told = pl.col(table.key), [c for c in columns if c in TOLD]
    hashes = [
        key.hash(1).alias(KEY[0]),
        key.hash(3).alias(KEY[1]),
        *(pl.col(c).hash(2).alias(f"#{c}") for c in columns),
    ]
    # no strings: those of a few rows would hold on to the buffers of all
    codes = [pl.col(c).cast(pl.String).cast(pl.Categorical) for c in told]
    types = {**dict.fromkeys(KEY, pl.UInt64), **{f"#{c}": pl.UInt64 for c in columns}}
    whole, waiting = pl.DataFrame(schema={**types, **dict.fromkeys(told, pl.Categorical)}), []
    for frame in _batches(lake, table, [table.key, *columns], shards):
        mine = frame.filter(key.hash(1) % pieces == piece) if pieces > 1 else frame
        waiting.append(mine.select(*hashes, *codes))
        if len(waiting) == TOGETHER:  # a thousand small chunks take many times the room of their values
            whole, waiting = pl.concat([whole, pl.concat(waiting, rechunk=True)]), []
    return pl.concat([whole, *waiting], rechunk=True)


def _batches(lake: Lake, table: TableSchema, columns: list[str], shards: Iterable[Shard]) -> Iterator[pl.DataFrame]:
    types = pl.DataFrame(table.empty()).schema
    for shard in shards:
        there = lake.columns(shard.path)
        lacking = [pl.lit(None, types[c]).alias(c) for c in columns if c not in there]
        for batch in lake.batches(shard.path, [c for c in columns if c in there]):
            yield pl.DataFrame(batch).with_columns(lacking).select(columns)


def _count(
    found: RowsDiff, columns: list[str], old: pl.DataFrame, new: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Count what differs in a portion; hashed keys of the rows added, removed and changed."""
    added, removed = new.join(old, on=KEY, how="anti"), old.join(new, on=KEY, how="anti")
    both = old.join(new, on=KEY, how="inner", suffix="|b")
    differs = {c: pl.col(f"#{c}") != pl.col(f"#{c}|b") for c in columns}
    changed = both.filter(pl.any_horizontal(differs.values())) if columns else both.clear()
    found.added += added.height
    found.removed += removed.height
    found.changed += changed.height
    found.same += both.height - changed.height
    for column, test in differs.items():
        some = changed.filter(test)
        found.by_column[column] += some.height
        if column in TOLD:
            counted = some.group_by(pl.col(column, f"{column}|b").cast(pl.String).fill_null("null")).len()
            for before, after, n in counted.iter_rows():
                found.moves[column, before, after] += n
    return added.select(KEY), removed.select(KEY), changed.select(KEY)


def _keys(lake: Lake, table: TableSchema, shards: list[Shard], wanted: list[Hashes]) -> list[str]:
    """The keys of these hashes, sorted; the key column alone is read."""
    if not wanted:
        return []
    key, hashes = pl.col(table.key), pl.DataFrame(wanted, schema=dict.fromkeys(KEY, pl.UInt64), orient="row")
    found: list[str] = []
    for frame in _batches(lake, table, [table.key], shards):
        hashed = frame.with_columns(key.hash(1).alias(KEY[0]), key.hash(3).alias(KEY[1]))
        found += hashed.join(hashes, on=KEY, how="semi")[table.key].to_list()
    return sorted(found)


def _examples(
    lake: Lake, table: TableSchema, columns: list[str], sides: tuple[list[Shard], list[Shard]], keys: list[str]
) -> tuple[Change, ...]:
    """The changed rows of these keys, with what differs in them."""
    if not keys:
        return ()
    key = table.key
    values: list[dict[str, dict[str, Any]]] = []
    for side in sides:
        rows: dict[str, dict[str, Any]] = {}
        for frame in _batches(lake, table, [key, *columns], side):
            rows |= {r[key]: r for r in frame.filter(pl.col(key).is_in(keys)).to_dicts()}
        values.append(rows)
    old, new = values
    return tuple(
        Change(k, tuple((c, short(old[k][c]), short(new[k][c])) for c in columns if old[k][c] != new[k][c]))
        for k in keys
    )


def _measured(
    lake: Lake, table: TableSchema, a: Manifest, b: Manifest
) -> Iterator[tuple[str, float | None, float | None]]:
    """The `value` of every measured thing in both: a table of a few rows a checkpoint."""
    names = MEASURED[table.name]
    sides: list[dict[str, float | None]] = []
    for manifest in (a, b):
        rows = (r for f in _batches(lake, table, [*names, "value"], manifest.shards) for r in f.to_dicts())
        sides.append({" ".join(r[n] for n in names): r["value"] for r in rows})
    yield from _side_by_side(*sides)


def _last_metrics(lake: Lake, a: Manifest, b: Manifest) -> Iterator[tuple[str, float | None, float | None]]:
    """Each metric of a training at the last step that has it."""
    sides: list[dict[str, float | None]] = []
    for manifest in (a, b):
        found: dict[str, tuple[int, float]] = {}
        for file in manifest.files:
            if file.path.endswith("/metrics.parquet"):
                for batch in lake.batches(file.path, ["metric", "step", "value"]):
                    for r in batch.to_pylist():
                        found[r["metric"]] = max(found.get(r["metric"], (-1, 0.0)), (r["step"], r["value"]))
        sides.append({name: value for name, (_, value) in found.items()})
    yield from _side_by_side(*sides)


def _side_by_side(
    a: Mapping[str, float | None], b: Mapping[str, float | None]
) -> Iterator[tuple[str, float | None, float | None]]:
    yield from ((name, a.get(name), b.get(name)) for name in dict.fromkeys([*a, *b]))
