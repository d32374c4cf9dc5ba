"""The only caller of Great Expectations: a suite over a frame of narrow columns, its result as plain data.

It keeps one context for the whole process: one call at a time.
"""

import logging
from collections.abc import Sequence
from typing import Any

import polars as pl

from r1data.errors import CheckFailed


def outcome_of(table: str, expectations: Sequence[dict[str, Any]], frame: pl.DataFrame) -> dict[str, Any]:
    """Great Expectations' validation result as JSON, with counts and a few values of what failed."""
    outcome: dict[str, Any] = _validated(table, expectations, frame, "SUMMARY").to_json_dict()
    for result in outcome["results"]:
        _whole(table, result)
    return outcome


def failing_rows(table: str, result: dict[str, Any], frame: pl.DataFrame) -> list[int]:
    """Positions of the rows that one expectation of an outcome failed on; none of one about the table as a whole."""
    config = result["expectation_config"]
    kwargs = {k: v for k, v in config["kwargs"].items() if k != "batch_id"}
    again = [{"type": config["type"], "kwargs": kwargs}]
    found = _validated(table, again, frame, {"result_format": "COMPLETE"}).results[0].result
    return [int(place) for place in found.get("unexpected_index_list") or []]


def _validated(table: str, expectations: Sequence[dict[str, Any]], frame: pl.DataFrame, form: object) -> Any:
    import great_expectations as gx

    # the second sets a level of its own
    for name in ("great_expectations", "great_expectations.data_context.types.base"):
        logging.getLogger(name).setLevel(logging.ERROR)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("memory").add_dataframe_asset(table)
    rows = {"dataframe": frame.to_pandas(use_pyarrow_extension_array=True)}
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch(batch_parameters=rows)
    return batch.validate(gx.ExpectationSuite(name=table, expectations=list(expectations)), result_format=form)


def _whole(table: str, result: dict[str, Any]) -> None:
    """An expectation that could not be computed is no failing row: it is a fault of the suite."""
    raised = result.get("exception_info") or {}
    if raised.get("raised_exception") or any(
        isinstance(v, dict) and v.get("raised_exception") for v in raised.values()
    ):
        kind = result["expectation_config"]["type"]
        raise CheckFailed(f"table {table}, {kind}: the expectation itself failed: {raised}", "mend the suite")
