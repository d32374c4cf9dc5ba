"""Live progress of a run: a row for every node that samples, on a terminal; elsewhere few plain lines."""

import threading
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table

from r1data.progress import Progress
from r1data.spending import Spending
from r1data.watching import PlainLines, percent, progress_line, time_left

COLUMNS = ("node", "candidates", "", "tokens/s", "accepted", "undecided", "truncated", "left")
PER_SECOND = 4


class LiveProgress:
    """A context manager; while it is open its rows stand below all that is reported. For threads.

    Outside a terminal, or when it was not entered, `watch` reports plain lines.
    """

    def __init__(self, spending: Spending, console: Console | None = None) -> None:
        self.spending = spending
        self.console = console or Console(highlight=False)
        self._plain = PlainLines(self.report, spending)
        self._rows: dict[str, Progress] = {}
        self._lock = threading.Lock()
        self._live: Live | None = None

    def __enter__(self) -> "LiveProgress":
        """Show rows from now on, if this is a terminal."""
        if self.console.is_terminal and not self.console.is_dumb_terminal:
            self._live = Live(get_renderable=self._table, console=self.console, refresh_per_second=PER_SECOND)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the rows away."""
        with self._lock:
            self._rows.clear()
        live, self._live = self._live, None
        if live:
            live.stop()

    def report(self, line: str) -> None:
        """Print a line above the rows."""
        self.console.print(line, markup=False, emoji=False, highlight=False, soft_wrap=True)

    def watch(self, progress: Progress) -> None:
        """Keep the node's row; at its end the row becomes a line."""
        if not self._live:
            self._plain.watch(progress)
            return
        with self._lock:
            if progress.ended is None:
                self._rows[progress.node] = progress
            else:
                self._rows.pop(progress.node, None)
        if progress.ended is not None:
            self.report(progress_line(progress, self.spending.cost))

    def refresh(self) -> None:
        """Show the rows as they are now; on a terminal this happens by itself several times a second."""
        if self._live:
            self._live.refresh()

    def _table(self) -> Table:
        with self._lock:
            rows = list(self._rows.values())
        caption = f"{self.spending.cost} so far" if rows else None
        table = Table(box=None, pad_edge=False, header_style="bold", caption=caption, caption_justify="left")
        for name in COLUMNS if rows else ():
            table.add_column(name, justify="left" if name in ("node", "") else "right", no_wrap=True)
        for row in rows:
            table.add_row(*_cells(row))
        return table


def _cells(p: Progress) -> tuple[str, ...]:
    return (
        p.node,
        f"{p.done:,}/{p.expected:,}",
        f"{percent(p):.0f} %",
        f"{p.tokens_per_second:,.0f}",
        f"{p.accepted:,}",
        f"{p.undecided:,}",
        f"{p.truncated:,}",
        time_left(p),
    )
