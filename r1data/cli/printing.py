"""Tables and records on the terminal; plain aligned text, cut nowhere, where the output is a file or a pipe."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from r1data.inspect.difference import Diff, RowsDiff

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


def print_diff(a: str, b: str, diff: "Diff") -> None:
    """What differs: facts, rows, metrics; one line where nothing does."""
    print(f"{a} and {b}: {'the same content' if diff.same else 'different contents'}")
    if diff.facts:
        print_table(("", "A", "B"), diff.facts)
    if diff.rows and not diff.same:
        _print_rows(diff.rows)
    if diff.metrics:
        print_table(
            ("metric", "A", "B", "change"),
            [
                (n, _figure(x), _figure(y), "-" if x is None or y is None else f"{y - x:+.4g}")
                for n, x, y in diff.metrics
            ],
        )


def _print_rows(rows: "RowsDiff") -> None:
    print(f"rows: {rows.added:,} added, {rows.removed:,} removed, {rows.changed:,} changed, {rows.same:,} the same")
    for title, number, keys in (("added", rows.added, rows.added_keys), ("removed", rows.removed, rows.removed_keys)):
        if keys:
            print(f"  {title}: {', '.join(keys)}{', ...' if number > len(keys) else ''}")
    for column, n in sorted(rows.by_column.items(), key=lambda item: -item[1]):
        if n:
            print(f"  changed {column}: {n:,} rows")
    for (column, old, new), n in rows.moves.most_common():
        print(f"    {column} {old or '(empty)'} -> {new or '(empty)'}: {n:,}")
    for change in rows.examples:
        print_record(f"  row {change.key}", {c: f"{old} -> {new}" for c, old, new in change.columns})


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _print_plain(rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
