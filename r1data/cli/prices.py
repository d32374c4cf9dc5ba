"""The price table: what `r1 plan` and `r1 pilot` print of the nodes that ask a checkpoint."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from r1data.cli.printing import print_table

if TYPE_CHECKING:
    from r1data.price import PriceLine, Range
    from r1data.spending import BudgetParams

COLUMNS = ("node", "prompts", "samples", "tokens", "truncated", "GPU-hours", "cost", "basis")


def print_prices(lines: "Sequence[PriceLine]", budget: "BudgetParams") -> None:
    """A row a node and, of several, their sum; nothing where nothing is to be asked."""
    from r1data.price import total

    if lines:
        print()
        print_table(COLUMNS, price_rows([*lines, total(lines)] if len(lines) > 1 else lines, budget))
        print()


def price_rows(lines: "Sequence[PriceLine]", budget: "BudgetParams") -> list[tuple[str, ...]]:
    """The cells; `-` where something is not known, `<=` before an upper bound."""
    return [
        (
            line.node,
            "-" if line.prompts is None else f"{line.prompts:,}",
            f"{line.samples:.3g}" if line.samples else "",
            _told(line.tokens, line.bound, whole),
            "-" if line.truncated_tokens is None else whole(line.truncated_tokens),
            _told(line.gpu_hours, line.bound, digits),
            _cost(line, budget),
            f"{line.basis}; {line.recorded:,} recorded" if line.recorded else line.basis,
        )
        for line in lines
    ]


def whole(value: float) -> str:
    """Without decimals."""
    return f"{value:,.0f}"


def digits(value: float) -> str:
    """Three digits at least."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def money(value: float) -> str:
    """To the hundredth."""
    return f"{value:,.2f}"


def _cost(line: "PriceLine", budget: "BudgetParams") -> str:
    if line.gpu_hours is None or not budget.gpu_hour_price:
        return "-"
    return f"{_told(line.gpu_hours.times(budget.gpu_hour_price), line.bound, money)} {budget.currency}"


def _told(amount: "Range | None", bound: bool, text: Callable[[float], str]) -> str:
    if amount is None:
        return "-"
    return f"<= {text(amount.high)}" if bound else f"{text(amount.mean)} ({text(amount.low)}-{text(amount.high)})"
