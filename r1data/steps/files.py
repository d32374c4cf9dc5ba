"""Records of a JSONL or Parquet file that a recipe names, by any URL that fsspec knows, or `hf://` by Polars."""

import io
import json
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import fsspec
import polars as pl

from r1data.digest import printable
from r1data.errors import RecipeError, boundary

HUB = "hf://"
REMEDY = "check the URL, its format and the credentials"
HUB_REMEDY = "hf://datasets/OWNER/NAME@REVISION/FILE needs the network and, for closed sets, HF_TOKEN; or copy the file"


def records_of(about: str, url: str, limit: int | None = None) -> list[dict[str, Any]]:
    """The file's records, at most `limit`; JSON lines are read as they are, since sets hold values of mixed types.

    `about` begins every error: whose file it is. Raises `RecipeError` naming file and line.
    """
    if url.startswith(HUB):
        return _from_hub(about, url, limit)
    with boundary(RecipeError, f"{about}: {url}", REMEDY):
        with fsspec.open(url, "rb") as f:
            data: bytes = f.read()
        if url.endswith(".parquet"):
            return pl.read_parquet(io.BytesIO(data), n_rows=limit).to_dicts()
    lines = [(n, line) for n, line in enumerate(data.splitlines(), 1) if line.strip()]
    return [_record(about, url, n, line) for n, line in lines[:limit]]


def column_names(records: list[dict[str, Any]]) -> list[str]:
    """Every column that any record has, in the order of their first appearance."""
    return list(dict.fromkeys(name for record in records for name in record))


def require_columns(about: str, url: str, records: list[dict[str, Any]], columns: Mapping[str, str]) -> None:
    """`RecipeError` if a file has no rows, or no row of it has one of the columns (ours to theirs)."""
    if not records:
        raise RecipeError(f"{about}: {url} has no rows", "give a file with rows, or leave this part of the recipe out")
    names = column_names(records)
    for ours, theirs in columns.items():
        if theirs not in names:
            remedy = f"set columns.{ours} to one of: {', '.join(map(printable, names))}"
            raise RecipeError(f"{about}: {url} has no column {theirs!r}", remedy)


def texts_of(record: Mapping[str, Any], columns: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, str]]:
    """(a record's values by our names, as text that can be written; (reason, column) of one that is no such text).

    `columns`: ours to theirs. Null is empty, a number is its digits; `no_text`: a list, an object, true, nan;
    `lone_surrogate`: half of a UTF-16 pair, which no file can hold. Two empty texts where nothing is wrong.
    """
    told = {ours: record.get(theirs) for ours, theirs in columns.items()}
    texts = {ours: "" if value is None else printable(value) for ours, value in told.items()}
    faults = ((_no_text(value, texts[ours]), columns[ours]) for ours, value in told.items())
    return texts, next(((reason, printable(column)) for reason, column in faults if reason), ("", ""))


def _no_text(value: Any, text: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return "" if text == value else "lone_surrogate"
    number = isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)
    return "" if number and math.isfinite(value) else "no_text"


def _from_hub(about: str, url: str, limit: int | None) -> list[dict[str, Any]]:
    with boundary(RecipeError, f"{about}: {url}", HUB_REMEDY):
        lines = url.endswith((".jsonl", ".ndjson"))
        frame = pl.scan_ndjson(url) if lines else pl.scan_parquet(url)
        return (frame if limit is None else frame.head(limit)).collect().to_dicts()


def _record(about: str, url: str, number: int, line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError as e:
        raise RecipeError(f"{about}: {url}, line {number}: {e}", "mend or remove that line") from e
    if not isinstance(found, dict):
        raise RecipeError(f"{about}: {url}, line {number}: no JSON object", "one object a line")
    return found
