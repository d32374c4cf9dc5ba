"""The evaluation table and the claims: what is not measured is told, never taken as good."""

from pathlib import Path

import polars as pl
import pytest

from r1data.errors import LakeError
from r1data.report.claims import claims, difference
from r1data.report.evaluation import COLUMNS, evaluation_markdown, evaluation_text, rows
from r1data.storage import Lake
from tests.r1data.inspect.tiny_lake import make_lake


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return make_lake(tmp_path_factory.mktemp("evaluation") / "lake")


def test_checkpoints_stand_in_the_papers_order(lake: Lake) -> None:
    assert [row[0] for row in rows(lake, "tiny")] == ["base", "zero", "dev1"]


def test_cells_of_a_checkpoint(lake: Lake) -> None:
    cells = dict(zip(COLUMNS, rows(lake, "tiny")[0], strict=True))
    assert cells == {
        "checkpoint": "base",
        "pass@1": "50.0",
        "95 % interval": "50.0 to 50.0",
        "cons@k": "50.0",
        "format": "100.0",
        "language": "-",
        "length": "9.0",
        "samples": "2 x 2",
        "undecided": "0",
        "no language": "4",
    }


def test_text_and_markdown_have_the_same_rows(lake: Lake) -> None:
    assert len(evaluation_text(lake, "tiny").splitlines()) == 4
    assert len(evaluation_markdown(lake, "tiny").splitlines()) == 5


def test_nothing_evaluated_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="nothing of recipe 'tiny' is evaluated"):
        rows(Lake.open(str(tmp_path)), "tiny")


def test_claims_without_measure_are_open(lake: Lake) -> None:
    found = {c.text: c.holds for c in claims(lake, "tiny")}
    assert found["zero - base, points of pass@1"] == "no"
    assert found["dev1: format"] == "yes"
    assert found["dev1: language consistency"] == "-"
    assert found["distill - student_base, points of pass@1"] == "-"


def test_difference_is_paired_by_problem() -> None:
    first = pl.DataFrame({"problem_id": ["a", "b", "c"], "share": [1.0, 0.5, 0.0]})
    second = pl.DataFrame({"problem_id": ["b", "a", "d"], "share": [0.25, 0.75, 1.0]})
    found = difference(first, second)
    assert found is not None
    assert (found.value, found.low, found.high, found.problems) == (25.0, 25.0, 25.0, 2)


def test_no_shared_problem_is_no_difference() -> None:
    first, second = (pl.DataFrame({"problem_id": [p], "share": [1.0]}) for p in "ab")
    assert difference(first, second) is None
