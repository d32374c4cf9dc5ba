"""Two datasets by key, and two checkpoints: what was added, removed, changed; parameters, inputs, metrics."""

import random
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from r1data.errors import LakeError
from r1data.inspect.difference import compare
from r1data.inspect.graph import manifest_at, read_graph
from r1data.manifest import Manifest, Shard, dataset_digest
from r1data.params import Params
from r1data.refs import resolve
from r1data.runner import Runner
from r1data.step import Node, Step
from r1data.storage import Lake
from schemas import TABLES
from tests.r1data.cli.test_cli import Typed, r1
from tests.r1data.inspect.tiny_lake import RECIPE, Services, filled, make_lake

__all__ = ["r1"]


class Told(Params):
    """What makes one dataset another."""

    name: str
    depth: dict[str, int] = {}
    lines: str = ""


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.open(str(tmp_path / "lake"))


def dataset(lake: Lake, name: str, rows: list[dict[str, Any]], table: str = "verdicts", **told: Any) -> Manifest:
    """Rows committed as a dataset."""

    def made(*, params: Params) -> pl.DataFrame:
        return filled(table, rows)

    node = Node(name, "s", Step("made", "1", "reduce", TABLES[table], made), Told(name=name, **told))
    return Runner(lake, RECIPE, Services(lake), report=lambda _: None).run(node)[0]


def verdict(i: int, told: str = "correct", **more: Any) -> dict[str, Any]:
    return {"candidate_id": f"c-{i:05d}", "problem_id": "p", "verdict": told, **more}


def test_rows_are_compared_by_key(lake: Lake) -> None:
    a = dataset(lake, "a", [verdict(1), verdict(2), verdict(3, "undecided", reason="timeout"), verdict(4)])
    b = dataset(lake, "b", [verdict(2), verdict(3, "wrong"), verdict(4, answer="7"), verdict(5)])
    rows = compare(lake, a, b).rows
    assert rows is not None
    assert (rows.added, rows.removed, rows.changed, rows.same) == (1, 1, 2, 1)
    assert (rows.added_keys, rows.removed_keys) == (["c-00005"], ["c-00001"])
    assert +rows.by_column == {"verdict": 1, "reason": 1, "answer": 1}
    assert rows.moves == {("verdict", "undecided", "wrong"): 1, ("reason", "timeout", ""): 1}
    assert [(c.key, c.columns) for c in rows.examples] == [
        ("c-00003", (("verdict", "'undecided'", "'wrong'"), ("reason", "'timeout'", "''"))),
        ("c-00004", (("answer", "None", "'7'"),)),
    ]


def test_volatile_columns_are_not_compared(lake: Lake) -> None:
    a = dataset(lake, "a", [verdict(1, milliseconds=3.0), verdict(2)])
    b = dataset(lake, "b", [verdict(1, milliseconds=5.0)])
    rows = compare(lake, a, b).rows
    assert rows is not None
    assert (rows.changed, rows.same, rows.removed) == (0, 1, 1)


def test_portions_find_what_the_whole_does(lake: Lake) -> None:
    chance = random.Random(7)
    kinds = ("correct", "wrong", "undecided")
    sides = [{i: chance.choice(kinds) for i in range(2_000) if chance.random() < 0.7} for _ in range(2)]
    a, b = (dataset(lake, n, [verdict(i, v) for i, v in s.items()]) for n, s in zip("ab", sides, strict=True))
    both = sides[0].keys() & sides[1].keys()
    differ = sum(sides[0][i] != sides[1][i] for i in both)
    moves = Counter((sides[0][i], sides[1][i]) for i in both if sides[0][i] != sides[1][i])
    for portion in (100, 10_000):
        rows = compare(lake, a, b, portion=portion).rows
        assert rows is not None
        told = (rows.added, rows.removed, rows.changed, rows.same)
        assert told == (len(sides[1]) - len(both), len(sides[0]) - len(both), differ, len(both) - differ)
        assert rows.moves == {("verdict", *move): n for move, n in moves.items()}


def shards(lake: Lake, name: str, parts: list[list[dict[str, Any]]]) -> Manifest:
    """A dataset of several shards, without a commit."""
    found = []
    base = dataset(lake, name, [verdict(0)])
    for i, rows in enumerate(parts):
        path = f"data/{name}/{i}.parquet"
        table = TABLES["verdicts"].conform(filled("verdicts", rows).to_arrow())
        size, sha = lake.write_table(path, table)
        digest = "-".join(r["candidate_id"] for r in rows)
        found.append(Shard(path=path, rows=len(rows), bytes=size, sha256=sha, digest=digest, key=str(i)))
    digest = dataset_digest("verdicts/2", tuple(found))
    number = sum(s.rows for s in found)
    return base.model_copy(update={"shards": tuple(found), "digest": digest, "rows": number})


def test_shards_of_one_content_are_not_read(lake: Lake) -> None:
    a = shards(lake, "a", [[verdict(1), verdict(2)], [verdict(3)]])
    b = shards(lake, "b", [[verdict(4)], [verdict(1), verdict(2)]])
    for manifest, i in ((a, 0), (b, 1)):
        Path(lake.path(manifest.shards[i].path)).unlink()
    rows = compare(lake, a, b).rows
    assert rows is not None
    assert (rows.added, rows.removed, rows.changed, rows.same) == (1, 1, 0, 2)


def test_a_row_that_moved_to_another_shard_is_the_same(lake: Lake) -> None:
    a = shards(lake, "a", [[verdict(1), verdict(2)], [verdict(3)]])
    b = shards(lake, "b", [[verdict(1)], [verdict(2), verdict(3)]])
    rows = compare(lake, a, b).rows
    assert rows is not None
    assert (rows.added, rows.removed, rows.changed, rows.same) == (0, 0, 0, 3)


def test_a_column_that_an_older_version_lacks_is_null(lake: Lake) -> None:
    a, b = shards(lake, "a", [[verdict(1), verdict(2)]]), shards(lake, "b", [[verdict(2, share=1.0), verdict(1)]])
    path = a.shards[0].path
    lake.write_table(path, lake.read_table(path).drop_columns(["share"]))
    rows = compare(lake, a, b).rows
    assert rows is not None
    assert (rows.changed, rows.same, +rows.by_column) == (1, 1, {"share": 1})


def test_parameters_and_inputs_that_differ_are_named(tmp_path: Path) -> None:
    lake = make_lake(tmp_path / "lake")
    old = resolve(lake, "tiny/problems")
    zero = resolve(lake, "tiny/zero")
    make_lake(tmp_path / "lake", mark="!")
    facts = {label: (a, b) for label, a, b in compare(lake, old, resolve(lake, "tiny/problems")).facts}
    assert facts["param mark"] == ("''", "!")
    assert "code commit" not in facts
    found = compare(lake, zero, resolve(lake, "tiny/zero"))
    assert any(label == "input problems" for label, _, _ in found.facts)
    assert found.metrics == (("reward", 1.0, 1.0),)


def test_evaluations_of_two_checkpoints_are_compared_by_metric(tmp_path: Path) -> None:
    lake = make_lake(tmp_path / "lake")
    found = compare(lake, resolve(lake, "tiny/eval/zero"), resolve(lake, "tiny/eval/dev1"))
    assert {name: (a, b) for name, a, b in found.metrics}["pass@1"] == (0.5, 1.0)


def test_evaluations_of_several_checkpoints_are_compared_by_checkpoint_too(lake: Lake) -> None:
    def values(name: str, **told: float) -> Manifest:
        rows = [
            {"evaluation_id": f"{name}-{c}", "checkpoint": c, "metric": "pass@1", "value": v} for c, v in told.items()
        ]
        return dataset(lake, name, rows, "evaluations")

    found = compare(lake, values("a", zero=0.5, dev1=0.6), values("b", zero=0.75))
    assert found.metrics == (("dev1 pass@1", 0.6, None), ("zero pass@1", 0.5, 0.75))


def test_a_dataset_and_a_checkpoint_are_not_compared(tmp_path: Path) -> None:
    lake = make_lake(tmp_path / "lake")
    with pytest.raises(LakeError, match=r"is a checkpoint of train, .* a dataset of problems/") as caught:
        compare(lake, resolve(lake, "tiny/zero"), resolve(lake, "tiny/problems"))
    assert "two datasets of one table" in caught.value.remedy


def test_the_command_compares_a_ref_with_its_earlier_target(tmp_path: Path, r1: Typed) -> None:
    lake = make_lake(tmp_path / "lake")
    old = resolve(lake, "tiny/problems").digest[:10]
    make_lake(tmp_path / "lake", mark="!")
    code, out, _ = r1("diff", old, "tiny/problems", "--lake", lake.url)
    assert code == 0
    assert "rows: 0 added, 0 removed, 2 changed, 0 the same" in out
    assert "changed question: 2 rows" in out
    assert "question: '2+1=?' -> '2+1=?!'" in out
    assert manifest_at(lake, read_graph(lake), old).digest.startswith(old)


def test_the_command_says_what_is_the_same_and_what_is_unknown(tmp_path: Path, r1: Typed) -> None:
    lake = make_lake(tmp_path / "lake")
    code, out, _ = r1("diff", "tiny/problems", "tiny/problems", "--lake", lake.url)
    assert (code, out.strip()) == (0, "tiny/problems and tiny/problems: the same content")
    code, _, err = r1("diff", "tiny/problems", "tiny/nothing", "--lake", lake.url)
    assert (code, "no ref 'tiny/nothing'" in err) == (1, True)


def test_an_earlier_target_is_named_after_its_ref(tmp_path: Path, r1: Typed) -> None:
    lake = make_lake(tmp_path / "lake")
    old = f"tiny/problems@{resolve(lake, 'tiny/problems').digest[:8]}"
    make_lake(tmp_path / "lake", mark="!")
    code, out, _ = r1("diff", old, "tiny/problems", "--lake", lake.url)
    assert (code, "2 changed, 0 the same" in out) == (0, True)
    code, out, _ = r1("show", old, "--lake", lake.url)
    assert (code, "question: 2+1=?\n" in out, "  earlier " in out) == (0, True, False)
    code, out, _ = r1("show", "tiny/problems", "--lake", lake.url)
    assert (code, f"earlier  {old.partition('@')[2]}" in out) == (0, True)
    code, out, _ = r1("lineage", "show", old, "--lake", lake.url)
    assert (code, out.startswith("tiny/problems")) == (0, True)


def test_a_parameter_of_several_lines_stays_in_its_line(lake: Lake) -> None:
    a, b = dataset(lake, "a", [verdict(1)], lines="a\nb"), dataset(lake, "b", [verdict(1)])
    assert ("param lines", "'a\\nb'", "''") in compare(lake, a, b).facts
