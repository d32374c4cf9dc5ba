"""A changed schema without a new version fails here: readers of old datasets rely on the snapshot."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from schemas import TABLES
from schemas.table import SchemaError

SNAPSHOTS = Path(__file__).resolve().parents[2] / "schemas" / "snapshots"


@pytest.mark.parametrize("name", sorted(TABLES))
def test_schema_equals_its_snapshot(name: str) -> None:
    table = TABLES[name]
    committed = json.loads((SNAPSHOTS / f"{name}-{table.version}.json").read_text(encoding="utf-8"))
    assert table.describe() == committed, "give the table a new version and commit its snapshot"


@pytest.mark.parametrize("name", sorted(TABLES))
def test_key_and_volatile_columns_exist(name: str) -> None:
    table = TABLES[name]
    assert {table.key, *table.volatile} <= set(table.schema.names)


def test_missing_column_is_named() -> None:
    with pytest.raises(SchemaError, match=r"missing columns.*'text'"):
        TABLES["corpus"].conform(pa.table({"document_id": ["a"], "category": ["c"], "source": ["s"]}))


def test_null_where_none_is_allowed_is_named() -> None:
    columns = {"document_id": ["a"], "text": [None], "category": ["c"], "source": ["s"]}
    with pytest.raises(SchemaError, match="column text: 1 nulls"):
        TABLES["corpus"].conform(pa.table(columns))


def test_wrong_type_is_named() -> None:
    columns = {"metric_id": ["a"], "stage": ["s"], "step": ["x"], "metric": ["m"], "value": [0.5], "elapsed_s": [1.0]}
    with pytest.raises(SchemaError, match="metrics/1, column step"):
        TABLES["metrics"].conform(pa.table(columns))
