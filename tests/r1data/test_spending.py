"""The ledger of a run: sums by hand, and the limit that is reached first."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from r1data.errors import RecipeError, Terminal
from r1data.progress import Progress
from r1data.recipe import SHIPPED, load_recipe
from r1data.spending import BudgetParams, Spending, budget_exhausted
from r1data.stages import graph


def test_money_is_gpu_hours_at_the_price() -> None:
    spending = Spending(BudgetParams(gpu_hour_price=2.5, currency="EUR"))
    spending.add(1_000, 1_800.0)
    spending.add(500, 1_800.0)
    assert (spending.tokens, spending.gpu_hours, spending.money) == (1_500, 1.0, 2.5)
    assert spending.cost == "2.50 EUR"
    assert spending.exhausted() is None


def test_a_server_occupies_its_gpus() -> None:
    spending = Spending(BudgetParams(gpu_hour_price=2.5, gpus=8))
    spending.add(1_000, 900.0)
    assert (spending.gpu_hours, spending.money) == (2.0, 5.0)


def test_without_a_price_the_cost_is_in_gpu_hours() -> None:
    spending = Spending()
    spending.add(1, 900.0)
    assert spending.cost == "0.25 GPU-hours"


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"max_tokens": 1_500}, "1,500 tokens of max_tokens = 1,500"),
        ({"max_gpu_hours": 0.5}, "1 GPU-hours of max_gpu_hours = 0.5"),
        ({"max_cost": 2.0, "gpu_hour_price": 2.5}, "2.50 USD of max_cost = 2"),
    ],
    ids=["tokens", "GPU-hours", "money"],
)
def test_the_limit_reached_is_named(limits: dict[str, float], says: str) -> None:
    spending = Spending(BudgetParams.model_validate(limits))
    assert spending.exhausted() is None
    spending.add(1_500, 3_600.0)
    assert spending.exhausted() == says
    error = budget_exhausted("cold_start/candidates", says, Progress("cold_start/candidates", recorded=1_000, done=200))
    assert isinstance(error, Terminal)
    assert f"{says}; 1,200 candidates of the node are recorded" in str(error)
    assert "remedy: raise the limit in the recipe's [cluster.budget] and run again" in str(error)


def test_threads_lose_nothing() -> None:
    spending = Spending()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: spending.add(1, 0.5), range(4_000)))
    assert (spending.tokens, spending.gpu_hours) == (4_000, 2_000 / 3600)


def with_budget(folder: Path, lines: str) -> Path:
    """The smoke recipe with a budget."""
    path = folder / "mine.toml"
    text = (SHIPPED / "smoke.toml").read_text(encoding="utf-8")
    path.write_text(f"{text}\n[cluster.budget]\n{lines}\n", encoding="utf-8")
    return path


def test_a_budget_changes_no_cache_key(tmp_path: Path) -> None:
    found = load_recipe(str(with_budget(tmp_path, "gpu_hour_price = 2.0\nmax_cost = 10")))
    assert found.cluster.budget.max_cost == 10
    assert [n.params for n in graph(found)] == [n.params for n in graph(load_recipe("smoke"))]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("max_cost = 10", "cluster.budget: Value error, max_cost needs gpu_hour_price"),
        ("max_token = 10", "cluster.budget.max_token: unknown key, did you mean 'max_tokens'?"),
        ("gpus = 0", "cluster.budget.gpus: Input should be greater than or equal to 1"),
        ("max_gpu_hours = 1\n[cluster.engine]\ntensor_parallel = 8", "occupies 8 devices: set budget.gpus = 8"),
    ],
    ids=["no price", "unknown key", "no GPU", "other GPUs than the engine's"],
)
def test_a_wrong_budget_is_told(tmp_path: Path, lines: str, says: str) -> None:
    with pytest.raises(RecipeError, match=r"mine\.toml") as caught:
        load_recipe(str(with_budget(tmp_path, lines)))
    assert says in str(caught.value)
