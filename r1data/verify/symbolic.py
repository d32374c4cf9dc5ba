"""The symbolic tier as the rest of the library sees it: distinct pairs in, outcomes out, and no way to hang."""

from collections.abc import Iterable
from typing import Literal, cast

from r1data.verify.algebra import Outcome
from r1data.verify.worker_client import Service

LONGEST = 2_000
# an identity, rounding that math-verify does, and no number at all
CANARIES = {
    ("ours", "x+1", "1+x"): "equal",
    ("ours", r"\frac{1}{2^{98}}", r"\frac{1}{2^{99}}"): "different",
    ("ours", r"2\sqrt{2}", r"\sqrt{8}"): "equal",
    ("ours", "5", "x"): "different",
}
SERVICE = Service(
    "maths", CANARIES, "math-verify or sympy behave differently here: install the versions of constraints.txt"
)
Pair = tuple[str, str]
How = Literal["ours", "peer"]


def symbolic_comparisons(pairs: Iterable[Pair], how: How = "ours") -> dict[Pair, Outcome]:
    """The outcome of every distinct (gold, answer) pair; `peer`: math-verify alone, on whole answer texts."""
    distinct = list(dict.fromkeys(pairs))
    short = [p for p in distinct if max(map(len, p)) <= LONGEST]
    found = SERVICE.outcomes((how, *p) for p in short)
    return {p: cast(Outcome, found.get((how, *p), "unparseable_answer")) for p in distinct}
