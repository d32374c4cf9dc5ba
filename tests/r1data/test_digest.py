"""Digests depend on values alone."""

import pyarrow as pa
import pytest

from r1data.digest import digest_json, digest_table, row_id, seed_from

TABLE = pa.table({"id": ["a", "b", None], "n": [1, None, 3], "x": [0.5, 1.0, None], "flag": [True, None, False]})


def test_chunking_does_not_enter() -> None:
    chunked = pa.concat_tables([TABLE.slice(0, 1), TABLE.slice(1)])
    assert digest_table(chunked) == digest_table(TABLE)


@pytest.mark.parametrize("column", ["id", "n", "x", "flag"])
def test_null_is_not_the_empty_value(column: str) -> None:
    empty = {"id": "", "n": 0, "x": 0.0, "flag": False}[column]
    values = [empty if v is None else v for v in TABLE.column(column).to_pylist()]
    filled = TABLE.set_column(
        TABLE.column_names.index(column), column, pa.array(values, TABLE.schema.field(column).type)
    )
    assert digest_table(filled) != digest_table(TABLE)


def test_text_boundaries_enter() -> None:
    assert digest_table(pa.table({"t": ["ab", "c"]})) != digest_table(pa.table({"t": ["a", "bc"]}))


def test_volatile_columns_are_outside() -> None:
    other = TABLE.set_column(2, "x", pa.array([9.0, 9.0, 9.0]))
    assert digest_table(other, frozenset({"x"})) == digest_table(TABLE, frozenset({"x"}))


def test_slices_and_lists() -> None:
    lists = pa.table({"v": [[1], [2, 3], None, []]})
    assert digest_table(lists.slice(1, 2)) == digest_table(pa.table({"v": pa.array([[2, 3], None])}))


def test_json_order_does_not_enter() -> None:
    assert digest_json({"a": 1, "b": 2}) == digest_json({"b": 2, "a": 1})


def test_row_id_and_seed_are_stable() -> None:
    assert row_id("question", 3) == row_id("question", 3) != row_id("question3")
    assert 0 <= seed_from("a", 1) < 2**31
