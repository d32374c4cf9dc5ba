"""Data Docs of one validation: a page that fetches nothing, which Great Expectations' own pages do."""

from collections.abc import Sequence
from typing import Any

from r1data import html
from r1data.manifest import Rows

COLUMNS = ("expectation", "column", "asked", "held", "rows that fail", "share", "some values")
# what Great Expectations adds of its own to an expectation's arguments
OWN = {"batch_id", "column", "column_A", "column_B"}


def page(rows: Rows, outcome: dict[str, Any], results: Sequence[dict[str, Any]]) -> str:
    """What was asked of a dataset, what held, and where not."""
    failed = sum(not r["success"] for r in results)
    held = "All held." if not failed else f"{failed} failed: nothing was published."
    total = sum(getattr(file, "rows", 0) for file in rows.files)
    counted = f" over all {total:,} rows" if total else ""
    parts = [
        html.paragraph(f"{rows.lake.uri(rows.folder)}"),
        html.paragraph(f"{len(results)} expectations of schemas/expectations/{rows.table}.json{counted}. {held}"),
        html.table(COLUMNS, [_cells(o, r) for o, r in zip(outcome["results"], results, strict=True)]),
        html.paragraph(
            f"Text is looked at by its length. {rows.table}.json beside this page has the result as Great Expectations "
            "gives it; rows that fail are in _quarantine.parquet."
        ),
    ]
    return html.document(f"Checks of {rows.name}, table {rows.table}", parts)


def _cells(outcome: dict[str, Any], result: dict[str, Any]) -> tuple[str, ...]:
    kwargs = outcome["expectation_config"]["kwargs"]
    asked = ", ".join(f"{k} {v}" for k, v in kwargs.items() if k not in OWN)
    share = outcome.get("result", {}).get("unexpected_percent")
    return (
        result["expectation"].removeprefix("expect_").replace("_", " "),
        result["column"],
        asked,
        "yes" if result["success"] else "NO",
        f"{result['failing']:,}",
        "-" if share is None else f"{share:.2f} %",
        ", ".join(result["examples"]),
    )
