"""Pairs whose lengths would teach a reward model to like length: those far apart, and the surplus of one direction.

The paper says only that chosen and rejected are of comparable length over the whole dataset (3.1); the rule is ours.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from r1data.data_params import PairLengthParams
from r1data.digest import row_id

Row = Mapping[str, Any]


def unbalanced(params: PairLengthParams, rows: Sequence[Row]) -> dict[str, tuple[str, str]]:
    """(reason, value) by pair_id of the rows of PREFERENCES that leave.

    First `lengths_differ`: the longer has more than `ratio` times the characters of the shorter. Of the rest, in every
    bin of that ratio, as many leave (`length_balance`) of the direction that has more as it has more. Which, a hash of
    the pair says, so that neither the order of rows nor the margin decides. Equal lengths stay.
    """
    gone: dict[str, tuple[str, str]] = {}
    bins: dict[int, tuple[list[str], list[str]]] = {}
    for row in rows:
        short, long = sorted((row["chosen_characters"], row["rejected_characters"]))
        if long > params.ratio * short:
            gone[row["pair_id"]] = ("lengths_differ", _value(row))
        elif long > short:
            shorter_longer = bins.setdefault(_bin(params.bin, long / short), ([], []))
            shorter_longer[row["chosen_characters"] == long].append(row["pair_id"])
    surplus = {name for both in bins.values() for name in _surplus(*both)} if params.balanced else set()
    return gone | {row["pair_id"]: ("length_balance", _value(row)) for row in rows if row["pair_id"] in surplus}


def _bin(width: float, ratio: float) -> int:
    """The number of the bin; by multiplication, which rounds alike on every machine, as logarithms do not."""
    number, edge = 0, width
    while ratio >= edge:
        number, edge = number + 1, edge * width
    return number


def _surplus(shorter: list[str], longer: list[str]) -> list[str]:
    least = min(len(shorter), len(longer))
    return [name for side in (shorter, longer) for name in sorted(side, key=_order)[least:]]


def _order(pair_id: str) -> str:
    return row_id("length balance", pair_id)


def _value(row: Row) -> str:
    return f"chosen {row['chosen_characters']}, rejected {row['rejected_characters']} characters"
