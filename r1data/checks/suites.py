"""Suites as data: `schemas/expectations/TABLE.json` in Great Expectations' own form, and the columns that they need.

`COLUMN_length` in a suite is the number of characters of a text column, which itself is never handed over.
"""

import json
from importlib.resources import files
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from r1data.manifest import Rows
from schemas import TABLES

LENGTH = "_length"
NAMED = ("column", "column_A", "column_B")


def suite_of(table: str) -> dict[str, Any] | None:
    """The suite of a table, or None where it has none."""
    file = files("schemas").joinpath("expectations").joinpath(f"{table}.json")
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def columns_of(suite: dict[str, Any]) -> list[str]:
    """The columns that a suite names, each once."""
    kwargs = [e["kwargs"] for e in suite["expectations"]]
    return list(dict.fromkeys(k[n] for k in kwargs for n in NAMED if n in k))


def about(kwargs: dict[str, Any]) -> str:
    """The columns of one expectation, for people."""
    return ", ".join(str(kwargs[n]) for n in NAMED if n in kwargs)


def narrow(rows: Rows, columns: list[str]) -> pl.DataFrame:
    """Those columns of all rows; of text only its length, a thousand rows of it in memory at a time."""
    schema = TABLES[rows.table].schema
    wanted = columns or [TABLES[rows.table].key]  # a suite that only counts rows
    sources = list(dict.fromkeys(c if c in schema.names else c.removesuffix(LENGTH) for c in wanted))
    fields = [schema.field(c) if c in schema.names else pa.field(c, pa.int64()) for c in wanted]
    narrowed = pa.schema([f.with_nullable(True) for f in fields])
    parts = (_narrowed(batch, narrowed) for batch in rows.batches(sources))
    return pl.DataFrame(pa.Table.from_batches(parts, schema=narrowed).combine_chunks())


def _narrowed(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Lengths by Arrow: Polars would copy the text first."""
    found = [batch.column(c) if c in batch.schema.names else _length(batch, c) for c in schema.names]
    return pa.RecordBatch.from_arrays([c.cast(f.type) for c, f in zip(found, schema, strict=True)], schema=schema)


def _length(batch: pa.RecordBatch, name: str) -> pa.Array:
    return pc.utf8_length(batch.column(name.removesuffix(LENGTH)))
