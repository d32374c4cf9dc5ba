"""A row back to problem, checkpoint and verdict, and on to what learnt from it; why a row was dropped."""

from pathlib import Path

import pytest

from r1data.errors import CorruptShard, LakeError, MissingManifest
from r1data.inspect.trace import trace, why
from r1data.manifest import MANIFEST
from r1data.refs import resolve
from r1data.storage import Lake
from tests.r1data.inspect.tiny_lake import make_lake


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return make_lake(tmp_path_factory.mktemp("trace") / "lake")


def test_an_example_leads_to_problem_candidate_and_verdict(lake: Lake) -> None:
    found = trace(lake, "example-1")
    keys = {(f.table, f.key) for f in found.ancestors}
    assert keys == {
        ("problems", "problem-1"),
        ("candidates", "candidate-1"),
        ("verdicts", "candidate-1"),
        ("measures", "candidate-1"),
    }


def test_an_example_leads_to_the_checkpoint_that_wrote_it(lake: Lake) -> None:
    digest = resolve(lake, "tiny/zero").digest
    assert trace(lake, "example-1").models == (f"tiny/zero {digest[:12]}",)


def test_an_example_leads_to_what_was_trained_on_it(lake: Lake) -> None:
    found = trace(lake, "example-1")
    assert (found.datasets, found.trained) == (("tiny/cold_start",), ("tiny/dev1",))


def test_a_problem_counts_as_trained_on_only_by_rollouts_and_examples(lake: Lake) -> None:
    assert trace(lake, "problem-1").trained == ("tiny/dev1", "tiny/zero")
    assert trace(lake, "problem-2").trained == ()


def test_a_rollout_is_found_in_its_checkpoint(lake: Lake) -> None:
    found = trace(lake, "rollout-1")
    assert [f.ref for f in found.findings] == ["tiny/zero"]
    assert found.trained == ("tiny/zero",)


def test_the_beginning_of_an_id_is_enough(lake: Lake) -> None:
    assert trace(lake, "exampl").row_id == "example-1"


@pytest.mark.parametrize(
    ("start", "says"),
    [
        ("problem-", "2 ids begin with problem-: problem-1, problem-2"),
        ("exam", "too short"),
        ("nowhere-1", "no row nowhere-1"),
    ],
    ids=["several", "short", "unknown"],
)
def test_an_id_that_names_no_single_row_is_refused(lake: Lake, start: str, says: str) -> None:
    with pytest.raises(LakeError, match=says) as caught:
        trace(lake, start)
    assert caught.value.remedy


def test_why_says_gate_and_reason(lake: Lake) -> None:
    assert [(f.row["gate"], f.row["reason"]) for f in why(lake, "candidate-2")] == [("verdict", "wrong")]


def test_why_of_a_problem_lists_its_rows(lake: Lake) -> None:
    assert {f.key for f in why(lake, "problem-2")} == {"candidate-3", "candidate-4"}


def test_a_kept_row_was_not_dropped(lake: Lake) -> None:
    assert why(lake, "candidate-1") == []


def test_a_ref_to_nothing_is_one_clear_error(tmp_path: Path) -> None:
    lake = make_lake(tmp_path / "lake")
    Path(lake.path(f"{resolve(lake, 'tiny/dev1').path}/{MANIFEST}")).unlink()
    with pytest.raises(MissingManifest, match="nothing is published here"):
        trace(lake, "example-1")


def test_a_row_of_a_corrupt_shard_is_not_shown(tmp_path: Path) -> None:
    lake = make_lake(tmp_path / "lake")
    shard = Path(lake.path(resolve(lake, "tiny/cold_start").shards[0].path))
    shard.write_bytes(b"PAR1" + bytes(100))
    with pytest.raises(CorruptShard, match="cold_start"):
        trace(lake, "example-1")
