"""A table's suite over a whole dataset, and what it leaves beside the dataset.

`_checks/TABLE.html` is for people, `_checks/TABLE.json` is Great Expectations' own result; `_quarantine.parquet` is
there where rows fail.
"""

import json
from typing import Any

from r1data.checks.engine import outcome_of
from r1data.checks.page import page
from r1data.checks.quarantine import QUARANTINE, quarantined, write_quarantine
from r1data.checks.suites import about, columns_of, narrow, suite_of
from r1data.errors import CheckFailed
from r1data.manifest import Rows

CHECKS = "_checks"
SHOWN = 5


def validate(rows: Rows) -> tuple[dict[str, object], ...]:
    """Results by expectation; raises `CheckFailed` naming expectation, column, count, some values and where to look.

    One call at a time in a process.
    """
    suite = suite_of(rows.table)
    if suite is None:
        return ()
    frame = narrow(rows, columns_of(suite))
    outcome = outcome_of(rows.table, suite["expectations"], frame)
    results = [_result(r) for r in outcome["results"]]
    place = _write(rows, outcome, results)
    failed = [r for r in outcome["results"] if not r["success"]]
    if failed:
        aside = quarantined(rows, frame, failed)
        told = f"{aside.height:,} rows that fail: {write_quarantine(rows, aside)}; " if aside.height else ""
        remedy = f"nothing was published. {told}all results: {place}. Mend the step, or the suite in "
        raise CheckFailed(_told(rows, results), remedy + f"schemas/expectations/{rows.table}.json")
    rows.lake.delete(f"{rows.folder}/{QUARANTINE}")  # of an earlier try
    return tuple(results)


def held_before(rows: Rows) -> bool:
    """Whether these very files were found right before, or nothing is asked of them."""
    if suite_of(rows.table) is None:
        return True
    data = rows.lake.get(f"{rows.folder}/{CHECKS}/{rows.table}.json")
    return data is not None and bool(json.loads(data)["success"])


def _told(rows: Rows, results: list[dict[str, Any]]) -> str:
    failed = [r for r in results if not r["success"]]
    lines = (f"  {r['expectation']} on {r['column']}: {r['failing']} rows, e.g. {r['examples']}" for r in failed)
    head = f"{rows.name}, table {rows.table}: {len(failed)} of {len(results)} expectations failed"
    return "\n".join([head, *lines])


def _write(rows: Rows, outcome: dict[str, Any], results: list[dict[str, Any]]) -> str:
    """Page and result; the page's URI."""
    place = f"{rows.folder}/{CHECKS}/{rows.table}"
    rows.lake.write(f"{place}.html", page(rows, outcome, results).encode())
    rows.lake.write(f"{place}.json", json.dumps(outcome, indent=1).encode())
    return rows.lake.uri(f"{place}.html")


def _result(result: dict[str, Any]) -> dict[str, Any]:
    config, details = result["expectation_config"], result.get("result", {})
    return {
        "expectation": config["type"],
        "column": about(config["kwargs"]),
        "success": bool(result["success"]),
        "failing": details.get("unexpected_count", 0),
        "examples": [str(v) for v in details.get("partial_unexpected_list", [])[:SHOWN]],
    }
