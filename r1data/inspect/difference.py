"""Two datasets of one table, or two checkpoints: what differs in rows, parameters, code, inputs and metrics.

Rows are compared by `r1data.inspect.changes`: by key, in memory that does not grow with the dataset.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from r1data.errors import LakeError
from r1data.inspect.changes import CODES, KEY, OTHER, ROWS, Sides, differing, keys_of
from r1data.inspect.read import table_of
from r1data.inspect.show import amount, flat, short
from r1data.manifest import Manifest, read_rows
from r1data.storage import Lake

SHOWN = 5
CHANGES = ("added", "removed", "changed")


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
    measured = tuple(_measured(lake, a, b)) if table.name == "evaluations" else ()
    return Diff(False, facts, compare_rows(Sides.of(lake, table, a, b), a, shown, portion), measured)


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
    return value if isinstance(value, str) and value and value.isprintable() else short(value)


def compare_rows(sides: Sides, a: Manifest, shown: int = SHOWN, portion: int = ROWS) -> RowsDiff:
    """Rows of one table by key; columns outside the logical digest are not compared."""
    found, firsts = RowsDiff(), {name: pl.DataFrame(schema=dict.fromkeys(KEY, pl.UInt64)) for name in CHANGES}
    for some in differing(sides, portion):
        _count(found, sides.columns, some)
        for name, kept in firsts.items():
            firsts[name] = pl.concat([kept, some.filter(change=name).select(KEY)]).head(shown)
    found.same = a.rows - found.removed - found.changed
    keys = (
        sorted(keys_of(sides, sides.a if name == "removed" else sides.b, firsts[name])[sides.table.key])
        for name in CHANGES
    )
    found.added_keys, found.removed_keys, found.changed_keys = keys
    found.examples = _examples(sides, found.changed_keys)
    return found


def _count(found: RowsDiff, columns: list[str], some: pl.DataFrame) -> None:
    """Add a portion of the rows that differ."""
    counts = Counter(some["change"].to_list())
    found.added += counts["added"]
    found.removed += counts["removed"]
    found.changed += counts["changed"]
    for column in columns if counts["changed"] else ():
        rows = some.filter(f"#{column}")
        found.by_column[column] += rows.height
        if column in CODES:
            counted = rows.group_by(pl.col(column, f"{column}{OTHER}").cast(pl.String).fill_null("null")).len()
            for before, after, n in counted.iter_rows():
                found.moves[column, before, after] += n


def _examples(sides: Sides, keys: list[str]) -> tuple[Change, ...]:
    """The changed rows of these keys, with what differs in them."""
    if not keys:
        return ()
    key, columns = sides.table.key, sides.columns
    values: list[dict[str, dict[str, Any]]] = []
    for shards in (sides.a, sides.b):
        rows: dict[str, dict[str, Any]] = {}
        for frame in sides.read(shards, lambda rows: rows.filter(pl.col(key).is_in(keys))):
            rows |= {r[key]: r for r in frame.to_dicts()}
        values.append(rows)
    old, new = values
    return tuple(
        Change(k, tuple((c, short(old[k][c]), short(new[k][c])) for c in columns if old[k][c] != new[k][c]))
        for k in keys
    )


def _measured(lake: Lake, a: Manifest, b: Manifest) -> Iterator[tuple[str, float | None, float | None]]:
    """The `value` of every metric in both, a checkpoint's beside the same one's, or the one's beside the other's."""
    rows = [read_rows(lake, manifest, ["checkpoint", "metric", "value"]).to_pylist() for manifest in (a, b)]
    one_each = all(len({r["checkpoint"] for r in side}) == 1 for side in rows)
    named = ("metric",) if one_each else ("checkpoint", "metric")
    old, new = ({" ".join(r[n] for n in named): r["value"] for r in side} for side in rows)
    yield from _side_by_side(dict(sorted(old.items())), dict(sorted(new.items())))


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
