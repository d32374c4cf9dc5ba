"""Ids that are followed downstream: of a row some dozens, of a source as many as there are rows."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl

from r1data.spill import spilled

FEW = 20_000  # that many are looked for where the files are read, more in a table on disk
TABLE = "CREATE TABLE ids (id TEXT PRIMARY KEY) WITHOUT ROWID"


class Followed:
    """A set of ids: FEW in memory, more in a temporary table."""

    def __init__(self, tables: sqlite3.Connection, ids: set[str]) -> None:
        self._tables, self._few, self._many = tables, set(ids), False

    def __bool__(self) -> bool:
        """Whether there are any."""
        return self._many or bool(self._few)

    @property
    def few(self) -> list[str] | None:
        """All of them, sorted; None where they are more than FEW."""
        return None if self._many else sorted(self._few)

    def add(self, ids: pl.Series) -> None:
        """Follow these too."""
        if not self._many and len(self._few) + len(ids) <= FEW:
            self._few |= set(ids)
            return
        for part in (pl.Series(sorted(self._few), dtype=pl.String), ids):
            self._tables.execute("INSERT OR IGNORE INTO ids SELECT value FROM json_each(?)", (_sorted(part),))
        self._few, self._many = set(), True

    def among(self, ids: pl.Series) -> pl.Series:
        """Which of these are followed: true or false for each."""
        known = "SELECT value FROM json_each(?) WHERE EXISTS (SELECT 1 FROM ids WHERE id = value)"
        found = [i for (i,) in self._tables.execute(known, (_sorted(ids),))] if self._many else sorted(self._few)
        return ids.is_in(found)


def _sorted(ids: pl.Series) -> str:
    """As JSON, in the order of the table, so that each of its pages is looked into once."""
    return json.dumps(ids.drop_nulls().unique().sort().to_list())


@contextmanager
def following(ids: set[str]) -> Iterator[Followed]:
    """Ids to begin with; forgotten at the end."""
    with spilled(TABLE) as tables:
        yield Followed(tables, ids)
