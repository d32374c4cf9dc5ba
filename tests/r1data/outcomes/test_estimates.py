"""Estimates under early stops: unbiased by exact enumeration, Chen's for a fixed number, and intervals that cover."""

from collections.abc import Iterator
from fractions import Fraction
from math import comb

import numpy as np
import pytest

from r1data.outcomes.estimates import Drawn, interval, pass_at
from r1data.sampling_params import SamplingParams


def plan_of(samples: int, stop_at: int | None = None, cap: int | None = None) -> SamplingParams:
    return SamplingParams(samples=samples, stop_at=stop_at, max_samples=cap, temperature=1.0)


PLANS = [plan_of(3), plan_of(1, 1, 5), plan_of(2, 1, 6), plan_of(2, 2, 7), plan_of(3, 2, 6), plan_of(2, 4, 8)]
IDS = ["3", "1 to 1 of 5", "2 to 1 of 6", "2 to 2 of 7", "3 to 2 of 6", "2 to 4 of 8"]
SHARES = [(Fraction(1, 5), Fraction(0)), (Fraction(1, 2), Fraction(1, 4)), (Fraction(7, 8), Fraction(1, 16))]
HOLES = [frozenset[int](), frozenset({0}), frozenset({1, 4}), frozenset({5})]


def endings(
    plan: SamplingParams, accepted: Fraction, right: Fraction, holes: frozenset[int]
) -> Iterator[tuple[Fraction, Drawn]]:
    """Every sequence of outcomes with its chance: A accepted, R right but rejected, W wrong, - undecided."""
    chances = {"A": accepted, "R": right, "W": 1 - accepted - right}

    def grown(drawn: str, chance: Fraction, until: int) -> Iterator[tuple[Fraction, Drawn]]:
        if len(drawn) < until:
            outcomes = {"-": Fraction(1)} if len(drawn) in holes else chances
            for outcome, share in outcomes.items():
                if share:
                    yield from grown(drawn + outcome, chance * share, until)
        elif size := plan.next_round(until, drawn.count("A"), drawn.count("-")):
            yield from grown(drawn, chance, until + size)
        else:
            undecided = tuple(i for i, outcome in enumerate(drawn) if outcome == "-")
            correct = drawn.count("A") + drawn.count("R")
            yield chance, Drawn(len(drawn), drawn.count("A"), correct, undecided)

    return grown("", Fraction(1), 0)


@pytest.mark.parametrize("holes", HOLES, ids=str)
@pytest.mark.parametrize(("accepted", "right"), SHARES, ids=str)
@pytest.mark.parametrize("plan", PLANS, ids=IDS)
def test_unbiased_over_every_sequence(
    plan: SamplingParams, accepted: Fraction, right: Fraction, holes: frozenset[int]
) -> None:
    ends = list(endings(plan, accepted, right, holes))
    assert sum(chance for chance, _ in ends) == 1
    sure = sum(i not in holes for i in range(plan.samples))
    for k in range(1, sure + 1):
        found = [(chance, pass_at(k, plan, drawn)) for chance, drawn in ends]
        expected = sum(float(chance) * value for chance, value in found if value is not None)
        assert expected == pytest.approx(float(1 - (1 - accepted - right) ** k), abs=1e-12)
        assert all(value is not None for _, value in found)
    assert {pass_at(sure + 1, plan, drawn) for _, drawn in ends} == {None}


@pytest.mark.parametrize(("n", "c", "k"), [(8, 0, 1), (8, 3, 1), (8, 3, 4), (8, 8, 8), (64, 5, 16)])
def test_a_fixed_number_is_chen(n: int, c: int, k: int) -> None:
    chen = 1 - comb(n - c, k) / comb(n, k)
    for accepted in (0, c // 2, c):
        assert pass_at(k, plan_of(n), Drawn(n, accepted, c)) == pytest.approx(chen, abs=1e-12)


def test_the_plain_share_is_biased_and_the_estimate_is_not() -> None:
    plan, p = plan_of(1, 1, 8), Fraction(1, 5)
    ends = list(endings(plan, p, Fraction(0), frozenset()))
    plain = sum(chance * Fraction(drawn.correct, drawn.asked) for chance, drawn in ends)
    assert plain > p + Fraction(1, 10)
    assert sum(float(c) * (pass_at(1, plan, d) or 0.0) for c, d in ends) == pytest.approx(0.2, abs=1e-12)


def test_counts_that_the_plan_cannot_end_with_have_no_estimate() -> None:
    assert pass_at(1, plan_of(2, 1, 6), Drawn(asked=2, accepted=0, correct=0)) is None


@pytest.mark.parametrize(
    ("correct", "decided", "low", "high"),
    # bisected with mpmath.betainc at 30 digits
    [
        (0, 8, 0.0, 0.262217248717),
        (4, 8, 0.198965611281, 0.801034388719),
        (8, 8, 0.737782751283, 1.0),
        (1, 4, 0.028470895087, 0.716248320437),
        (500, 2_000, 0.231393640968, 0.269329328447),
    ],
)
def test_jeffreys(correct: int, decided: int, low: float, high: float) -> None:
    assert interval(correct, decided) == pytest.approx((low, high), abs=1e-10)


def test_nothing_decided_has_no_interval() -> None:
    assert interval(0, 0) == (None, None)


def test_intervals_cover_under_early_stops() -> None:
    plan, rng = plan_of(4, 2, 16), np.random.default_rng(0)
    covered = []
    for p in rng.uniform(0, 1, 4_000):
        asked = accepted = 0
        while size := plan.next_round(asked, accepted):
            asked, accepted = asked + size, accepted + int(rng.binomial(size, p))
        low, high = interval(accepted, asked)
        covered.append(low is not None and high is not None and low <= p <= high)
    assert np.mean(covered) >= 0.93
