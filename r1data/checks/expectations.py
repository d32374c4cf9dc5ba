"""Run a table's expectations (a JSON suite in `schemas/expectations`) over the whole dataset, on narrow columns only.

Text becomes its length before it reaches Great Expectations: a seventh of the memory, and no long text in results.
"""

import json
import logging
from importlib.resources import files
from typing import Any

import polars as pl
import pyarrow as pa

from r1data.errors import CheckFailed

LONG_TEXT = frozenset({"question", "completion", "prompt", "text", "chosen", "rejected", "metadata", "evidence"})
SHOWN = 5


def suite_of(table: str) -> dict[str, Any] | None:
    """The suite of a table, or None where it has none."""
    file = files("schemas").joinpath("expectations").joinpath(f"{table}.json")
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def validate(table: str, rows: pa.Table) -> tuple[dict[str, object], ...]:
    """Results by expectation; raises `CheckFailed` naming expectation, column, count and some values."""
    suite = suite_of(table)
    if suite is None:
        return ()
    import great_expectations as gx

    # the second sets a level of its own
    for name in ("great_expectations", "great_expectations.data_context.types.base"):
        logging.getLogger(name).setLevel(logging.ERROR)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("memory").add_dataframe_asset(table)
    batch = asset.add_batch_definition_whole_dataframe("all")
    expectations = context.suites.add(gx.ExpectationSuite(name=table, expectations=suite["expectations"]))
    definition = gx.ValidationDefinition(name=table, data=batch, suite=expectations)
    validation = context.validation_definitions.add(definition)
    outcome = validation.run(batch_parameters={"dataframe": _narrow(rows)}, result_format="SUMMARY")
    results = [_result(table, r.to_json_dict()) for r in outcome.results]
    failed = [r for r in results if not r["success"]]
    if failed:
        lines = "\n".join(
            f"  {r['expectation']} on {r['column']}: {r['failing']} rows, e.g. {r['examples']}" for r in failed
        )
        raise CheckFailed(
            f"table {table}: {len(failed)} of {len(results)} expectations failed\n{lines}",
            "nothing was published; look at the rows, then mend the step or the suite in schemas/expectations",
        )
    return tuple(results)


def _narrow(rows: pa.Table) -> Any:
    """The table as pandas, long text replaced by `<column>_length`."""
    frame = pl.DataFrame(rows)
    long = [c for c in frame.columns if c in LONG_TEXT]
    lengths = [pl.col(c).str.len_chars().alias(f"{c}_length") for c in long]
    return frame.with_columns(lengths).drop(long).to_pandas(use_pyarrow_extension_array=True)


def _result(table: str, result: dict[str, Any]) -> dict[str, object]:
    config = result["expectation_config"]
    raised = result.get("exception_info") or {}
    if raised.get("raised_exception") or any(
        isinstance(v, dict) and v.get("raised_exception") for v in raised.values()
    ):
        raise CheckFailed(f"table {table}, {config['type']}: the expectation itself failed: {raised}", "mend the suite")
    details = result.get("result", {})
    return {
        "expectation": config["type"],
        "column": config["kwargs"].get("column", ""),
        "success": bool(result["success"]),
        "failing": details.get("unexpected_count", 0),
        "examples": [str(v) for v in details.get("partial_unexpected_list", [])[:SHOWN]],
    }
