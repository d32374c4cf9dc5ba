"""Writes what arrives into the pool's parts beside the sampling: a part when it is full or half a minute old."""

import asyncio
import time
from typing import Any

from r1data.errors import StorageError, StoreUnavailable
from r1data.generate.pool import Pool

PART_ROWS = 1_000
PART_SECONDS = 30.0
FULL_ROWS = 16_000
TRIES = 3


class Recorder:
    """Rows of CANDIDATES on their way to the lake; what could not be written is kept and tried again at the end."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.rows: list[dict[str, Any]] = []
        self.unsaved: list[dict[str, Any]] = []
        self.writing: asyncio.Task[None] | None = None
        self.flushed = time.monotonic()

    def add(self, row: dict[str, Any]) -> None:
        """One more that was paid for."""
        self.rows.append(row)

    @property
    def full(self) -> bool:
        """Whether the lake is slower than the answers: nothing more should be asked for now."""
        return len(self.rows) >= FULL_ROWS

    async def flush_if_due(self) -> None:
        """Begin to write when a part is full or its time is over; raises what the write before raised."""
        due = time.monotonic() - self.flushed >= PART_SECONDS
        if not self.rows or (len(self.rows) < PART_ROWS and not due):
            return
        if self.writing:
            await asyncio.wait({self.writing})  # who is cancelled here leaves the write alone
            self.writing.result()
        self.writing = asyncio.create_task(asyncio.to_thread(self._write, self._taken()))

    async def close(self) -> None:
        """Write all that is left, a failed write's rows among it."""
        if self.writing:
            await asyncio.wait({self.writing})
        self._write([*self.unsaved, *self._taken()])

    def _taken(self) -> list[dict[str, Any]]:
        found, self.rows = self.rows, []
        self.flushed = time.monotonic()
        return found

    def _write(self, rows: list[dict[str, Any]]) -> None:
        self.unsaved = rows
        while self.unsaved:
            self._add(self.unsaved[:PART_ROWS])
            self.unsaved = self.unsaved[PART_ROWS:]

    def _add(self, rows: list[dict[str, Any]]) -> None:
        for attempt in range(1, TRIES + 1):
            try:
                self.pool.add(rows)
            except (StorageError, StoreUnavailable):
                if attempt == TRIES:
                    raise
                time.sleep(attempt)
            else:
                return
