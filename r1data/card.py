"""The card of a dataset, `_card.md` beside its manifest: what it is, its columns, where it came from, how to read it.

Made of the manifest and `schemas.descriptions` alone, so that a commit costs one small object more.
"""

import json
from collections.abc import Iterable

from r1data.manifest import Manifest
from schemas import TABLES
from schemas.descriptions import TABLES_TOLD, described

CARD = "_card.md"
LONGEST = 200


def card(manifest: Manifest) -> str:
    """Markdown about a dataset."""
    name, digest = manifest.name, manifest.digest[:12]
    size = sum(s.bytes for s in manifest.shards)
    table, _, version = str(manifest.table).partition("/")
    told = [
        f"# {name}",
        f"{TABLES_TOLD.get(table, '')} Table `{table}`, version {version}.",
        f"{manifest.rows:,} rows in {len(manifest.shards)} Parquet files, {size:,} bytes. Content `{manifest.digest}`.",
        "## How to read it",
        f'```python\nimport r1data\n\nr1data.scan("{name}@{digest}")  # a Polars LazyFrame\n```',
        "## Columns",
        _table(("column", "type", "meaning"), _columns(table)),
        "## Where it came from",
        f"Made by `{manifest.step}` version {manifest.version}, code `{manifest.code.get('commit', 'unknown')}`.",
        _table(("role", "dataset or checkpoint", "content"), [(p.role, p.name, p.digest) for p in manifest.parents]),
        "## Parameters",
        _table(("parameter", "value"), [(k, _short(v)) for k, v in manifest.params.items()]),
        "## Counts",
        _table(("count", "number"), [(k, f"{v:,}") for k, v in manifest.counts.items()]),
        "## Checks",
        _table(
            ("expectation", "column", "held"),
            [(c.get("expectation"), c.get("column"), "yes" if c.get("success") else "no") for c in manifest.checks],
        ),
    ]
    return "\n\n".join(told) + "\n"


def _columns(table: str) -> list[tuple[str, str, str]]:
    if table not in TABLES:
        return []
    key, volatile = TABLES[table].key, TABLES[table].volatile
    return [
        (
            f.name,
            f"{f.type}{' or null' if f.nullable else ''}",
            described(table, f.name) + _marks(f.name, key, volatile),
        )
        for f in TABLES[table].schema
    ]


def _marks(column: str, key: str, volatile: frozenset[str]) -> str:
    return " (key)" if column == key else " (not part of the content hash)" if column in volatile else ""


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}... ({len(text):,} characters)"


def _table(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    body = [[str(v or "").replace("|", "\\|").replace("\n", " ") for v in row] for row in rows]
    if not body:
        return "None."
    return "\n".join(f"| {' | '.join(row)} |" for row in [list(head), ["---"] * len(head), *body])
