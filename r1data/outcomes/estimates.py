"""What a prompt's samples say about its pass rate, where sampling may have stopped early: pass@k and an interval.

A prompt that stops at its first successes looks easier than it is: c/n is biased upwards. pass@k is therefore averaged
over all sequences of outcomes with which the plan ends where it ended (Rao-Blackwell; Girshick, Mosteller and Savage
1946). With a fixed number of samples that is 1 - C(n-c, k) / C(n, k) of Chen et al. 2021.

It is unbiased, so meant for averages over problems; of a single one the counts and the interval say more.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import asin, comb, exp, lgamma, log, log1p, pi, sqrt

from r1data.sampling_params import SamplingParams

TAIL = 0.025
HALVINGS = 60


@dataclass(frozen=True)
class Drawn:
    """What a prompt gave: samples asked, those accepted by the stopping rule, all that are correct, and the indices of
    the undecided ones in rising order, which take part in rounds and in no estimate.
    """

    asked: int
    accepted: int
    correct: int
    undecided: tuple[int, ...] = ()

    @property
    def decided(self) -> int:
        """Samples with a verdict."""
        return self.asked - len(self.undecided)


def drawn(verdicts: Sequence[str], accepted: Sequence[bool]) -> Drawn:
    """What a prompt gave, from its samples by index."""
    undecided = tuple(i for i, verdict in enumerate(verdicts) if verdict == "undecided")
    return Drawn(len(verdicts), sum(accepted), sum(v == "correct" for v in verdicts), undecided)


def pass_at(k: int, plan: SamplingParams, found: Drawn) -> float | None:
    """The unbiased estimate of the chance that one of k decided samples is correct.

    None where k is more than the decided samples of the first round, which every prompt has, and where the plan cannot
    have ended with these counts (verdicts that changed after sampling).
    """
    if k > _decided_before(plan.samples, found.undecided):
        return None
    told = (plan, found.asked, found.accepted, found.undecided)
    ways = _ways(*told, 0)
    if not ways:
        return None
    # the rule sees accepted ones alone: which of the others are correct is exchangeable
    rejected, right = found.decided - found.accepted, found.correct - found.accepted
    failing = _ways(*told, k) * comb(rejected - right, k)
    return 1 - failing / (ways * comb(rejected, k)) if failing else 1.0


def interval(correct: int, decided: int) -> tuple[float | None, float | None]:
    """The 95 % Jeffreys interval of a pass rate: quantiles of Beta(correct + 1/2, wrong + 1/2), 0 and 1 at the ends.

    The stopping rule reads outcomes alone, so that it is a constant factor of the likelihood: the posterior is the same
    as of a fixed number of samples. (None, None) of nothing.
    """
    if not decided:
        return None, None
    low = _quantile(TAIL, correct, decided - correct) if correct else 0.0
    high = _quantile(1 - TAIL, correct, decided - correct) if correct < decided else 1.0
    return low, high


@lru_cache(maxsize=65_536)
def _ways(plan: SamplingParams, asked: int, accepted: int, undecided: tuple[int, ...], failing: int) -> int:
    """Sequences of outcomes with which the plan ends at these counts, its first `failing` decided samples rejected."""
    states, found = {(0, 0): 1}, 0
    while states:
        after: Counter[tuple[int, int]] = Counter()
        for (n, a), ways in states.items():
            size = plan.next_round(n, a, n - _decided_before(n, undecided))
            if not size and (n, a) == (asked, accepted):
                found += ways
            if not size or n + size > asked:
                continue
            free = _free(n + size, undecided, failing) - _free(n, undecided, failing)
            for more in range(min(free, accepted - a) + 1):
                after[n + size, a + more] += ways * comb(free, more)
        states = after
    return found


def _free(index: int, undecided: tuple[int, ...], failing: int) -> int:
    """Decided samples before an index whose outcome is open."""
    return max(0, _decided_before(index, undecided) - failing)


def _decided_before(index: int, undecided: tuple[int, ...]) -> int:
    return index - bisect_left(undecided, index)


@lru_cache(maxsize=65_536)
def _quantile(share: float, right: int, wrong: int) -> float:
    """Where the distribution function of Beta(right + 1/2, wrong + 1/2) reaches `share`."""
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _below(middle, right, wrong) < share else (low, middle)
    return (low + high) / 2


def _below(x: float, right: int, wrong: int) -> float:
    """The regularised incomplete beta function I_x(right + 1/2, wrong + 1/2), by recurrence from the arcsine law."""
    steps = [(i + 0.5, 0.5) for i in range(right)]
    down = sum(_term(x, a, b) / a for a, b in steps)
    up = sum(_term(x, right + 0.5, i + 0.5) / (i + 0.5) for i in range(wrong))
    return 2 / pi * asin(sqrt(x)) - down + up


def _term(x: float, a: float, b: float) -> float:
    """x^a (1-x)^b / B(a, b)."""
    return exp(a * log(x) + b * log1p(-x) + lgamma(a + b) - lgamma(a) - lgamma(b))
