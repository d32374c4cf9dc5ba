"""Rows that fail expectations, put aside beside the dataset that is not published: `_quarantine.parquet`.

Columns: row (position in the dataset), the table's key, failed (the expectations, as `type on column`), and the narrow
columns that were looked at. No manifest names the file, so that nothing reads it as data.
"""

from collections.abc import Sequence
from typing import Any

import polars as pl

from r1data.checks.engine import failing_rows
from r1data.checks.suites import about, narrow
from r1data.manifest import Rows
from schemas import TABLES

ROW = "row"
QUARANTINE = "_quarantine.parquet"


def quarantined(rows: Rows, frame: pl.DataFrame, failed: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """The rows of a narrow frame that fail any of these results of Great Expectations."""
    found = [(i, _told(r)) for r in failed for i in failing_rows(rows.table, r, frame)]
    told = pl.DataFrame(found, schema={ROW: pl.Int64, "failed": pl.String}, orient="row")
    told = told.group_by(ROW).agg(pl.col("failed").sort()).sort(ROW)
    key = TABLES[rows.table].key
    named = narrow(rows, [key]).with_row_index(ROW).with_columns(pl.col(ROW).cast(pl.Int64))
    looked_at = frame.drop(key, strict=False).with_row_index(ROW).with_columns(pl.col(ROW).cast(pl.Int64))
    return told.join(named, on=ROW).join(looked_at, on=ROW).select(ROW, key, "failed", pl.exclude(ROW, key, "failed"))


def write_quarantine(rows: Rows, frame: pl.DataFrame) -> str:
    """Write them; returns the URI."""
    name = f"{rows.folder}/{QUARANTINE}"
    rows.lake.write_table(name, frame.to_arrow())
    return rows.lake.uri(name)


def _told(result: dict[str, Any]) -> str:
    config = result["expectation_config"]
    return f"{config['type']} on {about(config['kwargs'])}"
