"""Suites on committed Parquet: few columns read, failures by row, pages beside the dataset, the ref unmoved."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from r1data.checks.engine import outcome_of
from r1data.checks.expectations import held_before, validate
from r1data.checks.suites import columns_of, narrow, suite_of
from r1data.errors import CheckFailed
from r1data.inspect.show import show
from r1data.manifest import Manifest, Rows, Shard, carried
from r1data.refs import resolve
from r1data.runner import Runner
from r1data.step import Node
from r1data.storage import Lake
from schemas import TABLES
from tests.r1data.inspect import tiny_lake
from tests.r1data.inspect.tiny_lake import filled

# what Great Expectations does when it is imported and called
pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{w}Warning") for w in ("Import", "Deprecation", "Future", "Resource")
]
CANDIDATES = [{"candidate_id": f"c{i}", "finish_reason": "stop", "model_digest": "m"} for i in range(4)]


class Spy(Lake):
    """A lake that tells which columns are read."""

    def batches(self, name: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """Remember them."""
        READ.update(columns)
        return super().batches(name, columns)


READ: set[str] = set()


def dataset(tmp_path: Path, table: str, *shards: list[dict[str, Any]]) -> Rows:
    """Rows of a dataset that is about to be committed."""
    lake = Spy.open(str(tmp_path / "lake"))
    READ.clear()
    made = []
    for i, rows in enumerate(shards):
        path = f"data/x/{table}/part-{i}.parquet"
        frame = filled(table, rows) if rows else pl.DataFrame(TABLES[table].empty())
        size, sha256 = lake.write_table(path, frame.to_arrow())
        made.append(Shard(path=path, rows=len(rows), bytes=size, sha256=sha256, digest="", key=""))
    about = {"kind": "dataset", "key": "k", "step": "s", "version": "1", "digest": "d"}
    draft = Manifest(name="r/x", path=f"data/x/{table}", table=TABLES[table].id, shards=tuple(made), **about)  # type: ignore[arg-type]
    return Rows.of(lake, draft)


@pytest.mark.parametrize("table", sorted(TABLES))
def test_every_table_has_a_suite_of_columns_that_it_has(table: str) -> None:
    suite = suite_of(table)
    assert suite is not None
    assert suite["name"] == table
    names = {*TABLES[table].schema.names, *(f"{c}_length" for c in TABLES[table].schema.names)}
    assert set(columns_of(suite)) <= names
    assert any(e["type"] == "expect_column_values_to_be_unique" for e in suite["expectations"])


@pytest.mark.parametrize("table", sorted(TABLES))
def test_a_suite_can_be_computed_without_rows(tmp_path: Path, table: str) -> None:
    suite = suite_of(table)
    assert suite is not None
    rows = dataset(tmp_path, table, [])
    if suite["expectations"][0]["type"] == "expect_table_row_count_to_be_between":
        with pytest.raises(CheckFailed, match="1 of"):
            validate(rows)
    else:
        assert all(r["success"] for r in validate(rows))


@pytest.mark.parametrize("table", sorted(n for n, t in TABLES.items() if any(f.nullable for f in t.schema)))
def test_a_suite_can_be_computed_with_nulls_anywhere(tmp_path: Path, table: str) -> None:
    schema = TABLES[table].schema
    numbers = [f.name for f in schema if f.nullable and (pa.types.is_integer(f.type) or pa.types.is_floating(f.type))]
    key = TABLES[table].key
    rows = dataset(tmp_path, table, [{key: "all null"}, *({key: name, name: 0} for name in numbers), {key: "again"}])
    suite = suite_of(table)
    assert suite is not None
    outcome = outcome_of(table, suite["expectations"], narrow(rows, columns_of(suite)))
    wrong = [v for r in outcome["results"] for v in r.get("result", {}).get("partial_unexpected_list", [])]
    assert None not in wrong  # an empty text need not be a known word; it is the nulls that must not matter


def test_only_what_a_suite_names_is_read(tmp_path: Path) -> None:
    rows = dataset(tmp_path, "candidates", CANDIDATES)
    assert all(r["success"] for r in validate(rows))
    assert {"completion", "prompt", "logprobs"} & READ == set()


def test_text_becomes_its_length(tmp_path: Path) -> None:
    rows = dataset(tmp_path, "corpus", [{"document_id": "a", "text": "abc"}], [{"document_id": "b", "text": "数学"}])
    frame = narrow(rows, ["document_id", "text_length"])
    assert frame.rows() == [("a", 3), ("b", 2)]


def failing(tmp_path: Path) -> tuple[Rows, CheckFailed]:
    """Six candidates in two shards: one id twice, one negative count."""
    more: list[dict[str, Any]] = [{**CANDIDATES[0]}, {**CANDIDATES[1], "candidate_id": "d", "completion_tokens": -3}]
    rows = dataset(tmp_path, "candidates", CANDIDATES, more)
    with pytest.raises(CheckFailed) as found:
        validate(rows)
    return rows, found.value


def test_a_failure_names_expectation_count_and_place(tmp_path: Path) -> None:
    rows, error = failing(tmp_path)
    assert "r/x, table candidates: 2 of" in str(error)
    assert "expect_column_values_to_be_unique on candidate_id: 2 rows, e.g. ['c0', 'c0']" in str(error)
    assert "expect_column_values_to_be_between on completion_tokens: 1 rows, e.g. ['-3']" in str(error)
    assert rows.lake.uri(f"{rows.folder}/_quarantine.parquet") in error.remedy
    assert rows.lake.uri(f"{rows.folder}/_checks/candidates.html") in error.remedy


def test_failing_rows_are_put_aside_with_their_index(tmp_path: Path) -> None:
    rows, _ = failing(tmp_path)
    aside = pl.DataFrame(rows.lake.read_table(f"{rows.folder}/_quarantine.parquet"))
    unique = "expect_column_values_to_be_unique on candidate_id"
    between = "expect_column_values_to_be_between on completion_tokens"
    told = aside.select("row", "candidate_id", "failed").rows()
    assert told == [(0, "c0", [unique]), (4, "c0", [unique]), (5, "d", [between])]
    assert aside["completion_tokens"].to_list() == [0, 0, -3]


def test_pairs_of_columns_are_put_aside_too(tmp_path: Path) -> None:
    rows = dataset(tmp_path, "rl_prompts", [{"problem_id": "a"}, {"problem_id": "b", "decided": 2, "asked": 1}])
    with pytest.raises(CheckFailed, match="on asked, decided: 1 rows"):
        validate(rows)
    aside = pl.DataFrame(rows.lake.read_table(f"{rows.folder}/_quarantine.parquet"))
    assert aside["problem_id"].to_list() == ["b"]


def test_a_later_success_takes_the_quarantine_away(tmp_path: Path) -> None:
    rows, _ = failing(tmp_path)
    assert not held_before(rows)
    validate(dataset(tmp_path, "candidates", CANDIDATES))
    assert held_before(rows)
    assert not rows.lake.exists(f"{rows.folder}/_quarantine.parquet")


def test_the_page_fetches_nothing_and_the_result_is_theirs(tmp_path: Path) -> None:
    rows, _ = failing(tmp_path)
    page = rows.lake.read(f"{rows.folder}/_checks/candidates.html").decode()
    assert not re.search(r"https?://|<(link|img|script)|@import|url\(", page)
    assert "over all 6 rows" in page
    assert page.count("<td>NO</td>") == 2
    result = json.loads(rows.lake.read(f"{rows.folder}/_checks/candidates.json"))
    assert result["success"] is False
    assert result["statistics"]["unsuccessful_expectations"] == 2


class Checked(tiny_lake.Services):
    """The tiny recipe with the checks of a real run; its checkpoints' metrics are checked as they are admitted."""

    def check(self, node: Node, rows: Callable[[], pa.Table]) -> tuple[dict[str, object], ...]:
        """The table's suite."""
        assert isinstance(rows, Rows)
        return validate(rows)


def test_a_failed_suite_leaves_the_ref_where_it_was(tmp_path: Path) -> None:
    lake = tiny_lake.make_lake(tmp_path / "lake")
    before = resolve(lake, "tiny/problems")
    runner = Runner(lake, tiny_lake.RECIPE, Checked(lake), report=lambda _: None)
    with pytest.raises(CheckFailed, match="tiny/problems, table problems: 1 of 7"):
        runner.run(tiny_lake.nodes(mark="?")[0])  # its split is empty
    assert resolve(lake, "tiny/problems") == before
    assert [n for n in lake.names("data/problems") if n.endswith("_manifest.json")] == [f"{before.path}/_manifest.json"]


def test_tables_of_a_checkpoint_are_checked_once(tmp_path: Path) -> None:
    lake = tiny_lake.make_lake(tmp_path / "lake")
    metrics, rollouts = carried(lake, resolve(lake, "tiny/zero"))
    assert not held_before(metrics)
    assert all(r["success"] for r in validate(metrics))
    assert held_before(metrics)
    with pytest.raises(CheckFailed, match="table rollouts"):
        validate(rollouts)  # its step is 0
    assert not held_before(rollouts)
    pages = [text for label, text in show(lake, "tiny/zero").facts if label == "page"]
    assert [p.rpartition("/")[2] for p in pages] == ["metrics.html", "rollouts.html"]
