"""Every table and column is described, and nothing that is not there."""

import pytest

from schemas import TABLES
from schemas.descriptions import COLUMNS, TABLES_TOLD, described


def test_every_table_is_described() -> None:
    assert TABLES_TOLD.keys() == TABLES.keys()


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_column_is_described(name: str) -> None:
    assert all(described(name, column) for column in TABLES[name].schema.names)


def test_no_description_is_left_over() -> None:
    there = {f"{t.name}.{c}" for t in TABLES.values() for c in t.schema.names}
    there |= {name.partition(".")[2] for name in there}
    assert COLUMNS.keys() <= there
