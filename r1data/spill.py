"""Tables of a temporary file, for sets that grow with a lake: memory holds CACHE_KB of them, whatever their size.

The file is SQLite's own, in SQLITE_TMPDIR, TMPDIR or /var/tmp; made when the cache is full, gone with the tables.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

from r1data.errors import StorageError

CACHE_KB = 8_192


@contextmanager
def spilled(schema: str) -> Iterator[sqlite3.Connection]:
    """Empty tables, for one thread; `StorageError` where the temporary file cannot grow."""
    with closing(sqlite3.connect("")) as tables:
        tables.executescript(f"PRAGMA cache_size = -{CACHE_KB}; PRAGMA journal_mode = OFF; {schema}")
        try:
            yield tables
        except sqlite3.OperationalError as e:
            remedy = "free some space for temporary files, or name another folder in SQLITE_TMPDIR"
            raise StorageError(f"temporary file: {e}", remedy) from e
