"""Suites as data: `schemas/expectations/TABLE.json` in Great Expectations' own form, and the columns that they need.

`COLUMN_length` in a suite is the number of characters of a text column, which itself is never handed over.
"""

import json
from importlib.resources import files
from typing import Any

import polars as pl

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
    """Those columns of all rows; of text only its length, some thousand rows of it in memory at a time."""
    names = TABLES[rows.table].schema.names
    exprs = {c: pl.col(c) if c in names else _length(c) for c in columns}
    sources = list(dict.fromkeys(c if c in names else c.removesuffix(LENGTH) for c in columns))
    if not sources:  # a suite that only counts rows
        sources = [TABLES[rows.table].key]
        exprs = {sources[0]: pl.col(sources[0])}
    empty = pl.DataFrame(TABLES[rows.table].empty()).select(**exprs)
    parts = (pl.DataFrame(batch).select(**exprs) for batch in rows.batches(sources))
    return pl.concat([empty, *parts], rechunk=True)


def _length(name: str) -> pl.Expr:
    return pl.col(name.removesuffix(LENGTH)).str.len_chars().cast(pl.Int64)
