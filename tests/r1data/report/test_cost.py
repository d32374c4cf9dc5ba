"""What a run took: tokens as they lie in the lake, hours by records and manifests, money by the recipe's price."""

from pathlib import Path

import pytest

from r1data.cluster_params import ClusterParams
from r1data.manifest import read_rows
from r1data.pilot import Pilot, pilot_file
from r1data.refs import resolve
from r1data.report.cost import Spent, rows, short, spent
from r1data.report.gathered import gathered
from r1data.report.page import page
from r1data.spending import BudgetParams
from r1data.storage import Lake
from tests.r1data.inspect.tiny_lake import make_lake

NODE = "cold_start/candidates"
DOMAIN = {
    **{"kind": "math", "category": "", "prompts": 2, "candidates": 4, "prompt_tokens": 1.0, "tokens": 9.0},
    **{"variance": 0.0, "truncated": 0.0, "truncated_tokens": 0.0},
}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return make_lake(tmp_path / "lake")


def record(lake: Lake, model_digest: str) -> None:
    """What a sampling at ten tokens a second on two GPUs leaves."""
    told = {"model": "tiny/zero", "model_digest": model_digest, "sampling_digest": "", "template_digest": ""}
    fast = {"when": 1.0, "tokens_per_second": 10.0, "gpus": 2, "complete": True, "domains": [DOMAIN]}
    lake.write(pilot_file("tiny", NODE), Pilot.model_validate(told | fast).model_dump_json().encode())


def of(lake: Lake, node: str, cluster: ClusterParams | None = None) -> Spent:
    return next(s for s in spent(gathered(lake, "tiny"), cluster or ClusterParams()) if s.node == node)


def test_tokens_are_those_of_the_rows(lake: Lake) -> None:
    table = read_rows(lake, resolve(lake, f"tiny/{NODE}"), ["completion_tokens"])
    found = of(lake, NODE)
    assert (found.answers, found.tokens) == (table.num_rows, sum(table["completion_tokens"].to_pylist())) == (4, 36)
    assert found.gpu_hours is None, "nobody knows how fast that was"


def test_hours_of_sampling_are_tokens_at_the_recorded_speed(lake: Lake) -> None:
    record(lake, resolve(lake, "tiny/zero").digest)
    assert of(lake, NODE).gpu_hours == pytest.approx(36 / 10 * 2 / 3600)


def test_a_record_of_another_model_says_nothing(lake: Lake) -> None:
    record(lake, "another")
    assert of(lake, NODE).gpu_hours is None


def test_rollouts_count_where_a_checkpoint_carries_them(lake: Lake) -> None:
    assert (of(lake, "zero").answers, of(lake, "base").answers) == (1, 0)


def test_money_is_told_where_there_is_a_price(lake: Lake) -> None:
    record(lake, resolve(lake, "tiny/zero").digest)
    assert "no price" in page(lake, "tiny")
    priced = page(lake, "tiny", ClusterParams(budget=BudgetParams(gpu_hour_price=1000.0)))
    assert "no price" not in priced
    assert "2.00 USD" in priced


@pytest.mark.parametrize(("number", "told"), [(0, "0"), (999, "999"), (1_000, "1 k"), (2_277_742, "2.28 M")])
def test_large_numbers_have_three_figures(number: int, told: str) -> None:
    assert short(number) == told


def test_table_begins_with_the_sum_of_what_is_known() -> None:
    found = [Spent("zero", "GRPO", 12, 3456, 2.0), Spent("cold_start/candidates", "sampling", 4, 36, None)]
    priced = ClusterParams(budget=BudgetParams(gpu_hour_price=1.5, currency="EUR"))
    assert rows(found, priced) == [
        ("total", "", "16", "3,492", "2.000", "3.00 EUR"),
        ("zero", "GRPO", "12", "3,456", "2.000", "3.00 EUR"),
        ("cold_start/candidates", "sampling", "4", "36", "-", "-"),
    ]
    assert [cells[-1] for cells in rows(found, ClusterParams())] == ["-", "-", "-"]
