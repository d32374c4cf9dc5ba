"""What a ref points to, in words."""

import pytest

from r1data.inspect.show import age, show
from r1data.storage import Lake
from tests.r1data.inspect.tiny_lake import make_lake


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return make_lake(tmp_path_factory.mktemp("show") / "lake")


def test_a_dataset_tells_size_origin_checks_and_reasons(lake: Lake) -> None:
    facts = [text for _, text in show(lake, "tiny/cold_start/drops").facts]
    assert facts[0].startswith("dataset of drops/1, 3 rows")
    assert {"expect_rows: held", "verdict: wrong 2", "verdict: other 1"} <= set(facts)
    assert any(text.startswith("verdicts: tiny/cold_start/verdicts") for text in facts)


def test_a_checkpoint_tells_steps_and_shows_no_rows(lake: Lake) -> None:
    found = show(lake, "tiny/zero")
    assert "5 steps" in found.facts[0][1]
    assert found.rows == ()


def test_as_many_rows_as_asked_for(lake: Lake) -> None:
    assert [r["problem_id"] for r in show(lake, "tiny/problems", rows=1).rows] == ["problem-1"]


@pytest.mark.parametrize(("seconds", "told"), [(3, "3 s"), (600, "10 min"), (7_200, "2 h"), (259_200, "3 d")])
def test_age_has_one_unit(seconds: float, told: str) -> None:
    assert age(seconds) == told
