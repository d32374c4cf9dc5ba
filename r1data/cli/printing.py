"""Tables and records on the terminal; plain aligned text, cut nowhere, where the output is a file or a pipe."""

from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

COLOURS = {"done": "green", "run": "yellow", "depends": "cyan", "OK": "green", "LOOK": "yellow", "BAD": "red"}
INDENT = 4


def print_table(head: Sequence[str], body: Iterable[Sequence[str]]) -> None:
    """A table; words of state in colour on a terminal."""
    console = Console(highlight=False)
    rows = [tuple(row) for row in body]
    if not console.is_terminal:
        _print_plain([tuple(head), *rows])
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in head:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=COLOURS.get(cell, "")) for cell in row))
    console.print(table)


def print_record(title: str, record: Mapping[str, object]) -> None:
    """One row as indented `name: value` lines; what is null or empty is left out, long text keeps its lines."""
    print(title)
    for name, value in record.items():
        if value not in (None, "", "{}"):
            text = str(value).rstrip("\n").replace("\n", "\n" + " " * 2 * INDENT)
            print(f"{' ' * INDENT}{name}: {text}")


def _print_plain(rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
