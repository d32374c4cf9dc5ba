"""Where a row came from, what was found about it, and what was made of it: from the lake alone.

A row is found by its id (or the beginning of it) in the datasets that refs reach; parents are its id columns.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl

from r1data.errors import LakeError
from r1data.manifest import Manifest
from r1data.refs import list_refs, resolve
from r1data.storage import Lake
from schemas import TABLES

SHORTEST = 6
ID_COLUMNS = ("problem_id", "parent_id", "candidate_id", "row_id", "chosen_id", "rejected_id")


@dataclass(frozen=True)
class Finding:
    """One row of one dataset."""

    ref: str
    table: str
    path: str
    row: dict[str, Any]


@dataclass(frozen=True)
class Trace:
    """The row itself, its ancestors, what else mentions it, and the checkpoints trained on a dataset that has it."""

    row_id: str
    findings: tuple[Finding, ...]
    ancestors: tuple[Finding, ...]
    made_by: tuple[str, ...]
    trained: tuple[str, ...]


def trace(lake: Lake, row_id: str) -> Trace:
    """Follow a row; `LakeError` if no ref reaches such a row, or several begin that way."""
    if len(row_id) < SHORTEST:
        raise LakeError(f"{row_id!r}: too short", f"give at least {SHORTEST} characters of a row's id")
    manifests = dict(_manifests(lake))
    findings = list(_find(lake, manifests, {row_id}, prefix=True))
    ids = {_key(f) for f in findings if _key(f).startswith(row_id)}
    if not findings:
        raise LakeError(f"no dataset that a ref reaches has a row {row_id}", "`r1 status` lists the refs of this lake")
    if len(ids) > 1:
        raise LakeError(f"several rows begin with {row_id}: {', '.join(sorted(ids)[:5])}", "give more characters")
    above = {str(f.row[c]) for f in findings for c in ID_COLUMNS if f.row.get(c)} - ids
    ancestors = [f for f in _find(lake, manifests, above, prefix=False) if _key(f) in above]
    holders = {f.path for f in findings}
    made_by = sorted({f"{p.role}: {p.name}" for m in manifests.values() if m.path in holders for p in m.parents})
    trained = sorted(n for n, m in manifests.items() if m.kind == "checkpoint" and _uses(m, holders))
    return Trace(next(iter(ids), row_id), tuple(findings), tuple(ancestors), tuple(made_by), tuple(trained))


def why(lake: Lake, row_id: str) -> list[Finding]:
    """The drops of a row: gate, reason, value, evidence; empty if it was not dropped."""
    manifests = {n: m for n, m in _manifests(lake) if m.table and m.table.startswith("drops/")}
    return list(_find(lake, manifests, {row_id}, prefix=True))


def _uses(manifest: Manifest, paths: set[str]) -> bool:
    return any(p.path in paths for p in manifest.parents)


def _manifests(lake: Lake) -> Iterator[tuple[str, Manifest]]:
    for ref in list_refs(lake):
        yield ref, resolve(lake, ref)


def _key(finding: Finding) -> str:
    return str(finding.row[TABLES[finding.table].key])


def _find(lake: Lake, manifests: dict[str, Manifest], ids: set[str], *, prefix: bool) -> Iterator[Finding]:
    """Rows whose key or id columns match, one dataset once however many refs share it; id columns are read first."""
    seen: set[str] = set()
    for ref, manifest in manifests.items():
        if manifest.kind != "dataset" or manifest.path in seen or not ids:
            continue
        seen.add(manifest.path)
        table = TABLES[str(manifest.table).split("/")[0]]
        columns = [c for c in dict.fromkeys((table.key, *ID_COLUMNS)) if c in table.schema.names]
        columns = columns if prefix else [table.key]
        for shard in manifest.shards:
            narrow = pl.DataFrame(lake.read_table(shard.path, columns=columns))
            tests = [_matches(c, ids, prefix) for c in columns]
            if narrow.filter(pl.any_horizontal(tests)).height:
                rows = pl.DataFrame(lake.read_table(shard.path, shard.sha256)).filter(pl.any_horizontal(tests))
                yield from (Finding(ref, table.name, manifest.path, r) for r in rows.to_dicts())


def _matches(column: str, ids: set[str], prefix: bool) -> pl.Expr:
    if prefix:
        return pl.col(column).str.starts_with(next(iter(ids)))
    return pl.col(column).is_in(sorted(ids))
