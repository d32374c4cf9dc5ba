"""What is current for others moves only where nothing got worse, all or none, and stays where a person put it."""

from pathlib import Path
from typing import Any

import pytest

from r1data.digest import digest_table
from r1data.lineage import commit
from r1data.manifest import Manifest, Parent, Shard, dataset_digest, read_manifest
from r1data.refs import list_refs, move_ref, read_ref, resolve
from r1data.report.regression import comparisons, current_ref, published, refusal
from r1data.storage import Lake
from schemas import TABLES
from tests.r1data.inspect.tiny_lake import filled

PROBLEMS = 40


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.open(str(tmp_path / "lake"))


def made(lake: Lake, model: str, right: int, checkpoint: str = "r1", prefix: str = "p") -> None:
    """A run's checkpoint, and its verdicts: the first `right` of forty problems are right."""
    head = Manifest(
        kind="checkpoint", name=f"t/{checkpoint}", path=f"data/{model}", key=model, step="s", version="1", digest=model
    )
    told: dict[str, Any] = {"step": "s", "version": "1", "kind": "dataset"}
    asked = f"t/eval/{checkpoint}/candidates"
    about = Parent(role="model", name=head.name, path=head.path, digest=model)
    candidates = Manifest(**told, name=asked, path=f"data/c/{model}", key=model, digest=f"c{model}", parents=(about,))
    rows = [
        {
            "candidate_id": f"{prefix}{i:02}",
            "problem_id": f"{prefix}{i:02}",
            "verdict": "correct" if i < right else "wrong",
        }
        for i in range(PROBLEMS)
    ]
    table = TABLES["verdicts"].conform(filled("verdicts", rows).to_arrow())
    path = f"data/v/{model}/part.parquet"
    size, sha256 = lake.write_table(path, table)
    shard = Shard(path=path, rows=PROBLEMS, bytes=size, sha256=sha256, digest=digest_table(table, frozenset()), key="k")
    parent = Parent(role="candidates", name=asked, path=candidates.path, digest=candidates.digest)
    digest = dataset_digest(TABLES["verdicts"].id, (shard,))
    name = f"t/eval/{checkpoint}/verdicts"
    verdicts = Manifest(
        **told, name=name, path=f"data/v/{model}", key=model, digest=digest, shards=(shard,), parents=(parent,)
    )
    for ref, manifest in ((head.name, head), (asked, candidates), (name, verdicts)):
        commit(lake, manifest)
        move_ref(lake, ref, manifest)


def current(lake: Lake, checkpoint: str = "r1") -> str:
    return resolve(lake, current_ref("t", checkpoint)).digest


def outcomes(lake: Lake) -> list[tuple[str, str]]:
    return [(c.checkpoint, c.outcome) for c in published(lake, "t")]


def test_the_first_is_current_and_the_same_stays(lake: Lake) -> None:
    made(lake, "one", 30)
    assert outcomes(lake) == [("r1", "first")]
    assert current(lake) == "one"
    assert outcomes(lake) == [("r1", "same")]


def test_worse_beyond_its_interval_stays_out_again_and_again(lake: Lake) -> None:
    made(lake, "one", 30)
    published(lake, "t")
    made(lake, "two", 20)
    for _ in range(2):
        found = published(lake, "t")
        assert [(c.outcome, c.difference and c.difference.value) for c in found] == [("worse", -25.0)]
        assert refusal(found).startswith("r1 is worse (-25.0 -")
        assert current(lake) == "one"


def test_no_worse_than_chance_is_published(lake: Lake) -> None:
    made(lake, "one", 30)
    published(lake, "t")
    made(lake, "two", 29)
    found = published(lake, "t")
    assert [(c.outcome, c.difference and c.difference.value) for c in found] == [("kept up", -2.5)]
    assert refusal(found) == ""
    assert current(lake) == "two"


def test_all_move_or_none(lake: Lake) -> None:
    for name, right in (("r1", 30), ("distill", 30)):
        made(lake, f"one-{name}", right, name)
    published(lake, "t")
    made(lake, "two-r1", 38)
    made(lake, "two-distill", 10, "distill")
    assert outcomes(lake) == [("r1", "kept up"), ("distill", "worse")]
    assert (current(lake), current(lake, "distill")) == ("one-r1", "one-distill")


def test_what_was_rolled_back_is_not_published_again(lake: Lake) -> None:
    made(lake, "one", 30)
    published(lake, "t")
    made(lake, "two", 31)
    published(lake, "t")
    before = read_ref(lake, current_ref("t", "r1")).history[0]
    move_ref(lake, current_ref("t", "r1"), read_manifest(lake, before.path))  # r1 rollback current/t/r1
    assert outcomes(lake) == [("r1", "rolled back")]
    assert current(lake) == "one"
    made(lake, "three", 29)
    (found,) = published(lake, "t")
    assert found.difference is not None
    assert found.difference.value == pytest.approx(-2.5), "against the one that is current, not the last one"
    assert current(lake) == "three"


def test_without_shared_problems_a_person_decides(lake: Lake) -> None:
    made(lake, "one", 30)
    published(lake, "t")
    made(lake, "two", 40, prefix="q")
    assert outcomes(lake) == [("r1", "not comparable")]
    assert current(lake) == "one"


def test_what_is_not_evaluated_is_left_alone(lake: Lake) -> None:
    assert comparisons(lake, "t") == []
    assert [r for r in list_refs(lake) if r.startswith("current/")] == []
