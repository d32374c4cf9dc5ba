"""Preference pairs by a language model's votes in both orders (paper 3.1): four votes a pair, a difference above one.

Only summaries are shown to it, as only they are rewarded. A pair whose votes cannot be read leaves with that reason,
and so does one whose lengths differ too much, or that would make one direction of length look better.
"""

from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import polars as pl

from r1data.data_params import PairLengthParams
from r1data.digest import row_id
from r1data.judge.answers import filled, votes_by_prompt
from r1data.judge.lengths import unbalanced
from r1data.judge.reading import judge_name
from r1data.params import Params
from r1data.rewards.format import summary
from r1data.step import Step
from r1data.steps.preferences import preference, preferences_frame
from schemas import TABLES

# arena-hard's five verdicts as points for the response shown as A (paper B.2; the scale is ours, it is not stated)
POINTS = {"A>>B": 2, "A>B": 1, "A=B": 0, "B>A": -1, "B>>A": -2}
Row = dict[str, Any]
EVIDENCE = 160


class PairJudgeParams(Params):
    """Which model judges, how it is asked, how often (half of the votes in each order); least difference kept."""

    model: str
    template: str
    temperature: float
    max_tokens: int
    votes: int
    max_pairs: int
    least_margin: float


class ChosenPairParams(PairJudgeParams):
    """And how alike lengths are to be: what is decided about votes, which are recorded before."""

    lengths: PairLengthParams


@dataclass(frozen=True)
class _Judged:
    """A pair that was judged: its row of PREFERENCES, or why there is none (reason and value)."""

    name: str
    problem_id: str
    evidence: str
    row: Row | None
    reason: str = ""
    value: str = ""


def pair_questions(
    *, params: PairJudgeParams, candidates: pl.DataFrame, problems: pl.DataFrame
) -> list[tuple[str, str]]:
    """(problem_id, judge's prompt) for both orders of every pair."""
    return [
        (a["problem_id"], text)
        for a, b in pairs(params, candidates, problems)
        for text in orders(params.template, a, b)
    ]


def pairs(params: PairJudgeParams, candidates: pl.DataFrame, problems: pl.DataFrame) -> list[tuple[Row, Row]]:
    """Pairs of different summaries to the same general prompt: at most `max_pairs`, in an order fixed by content."""
    about = problems.filter(pl.col("kind") == "general").select("problem_id", "question")
    rows = candidates.join(about, on="problem_id", how="inner").filter(pl.col("finish_reason") == "stop")
    by_problem: dict[str, dict[str, Row]] = {}
    for row in rows.sort("candidate_id").to_dicts():
        text = summary(row["completion"])
        if text:
            by_problem.setdefault(row["problem_id"], {}).setdefault(text, {**row, "summary": text})
    found = [pair for group in by_problem.values() for pair in combinations(group.values(), 2)]
    found.sort(key=lambda p: row_id("judged pair", p[0]["candidate_id"], p[1]["candidate_id"]))
    return found[: params.max_pairs]


def judged_preferences(
    *, params: ChosenPairParams, candidates: pl.DataFrame, problems: pl.DataFrame, judgements: pl.DataFrame
) -> pl.DataFrame:
    """PREFERENCES: the pairs whose mean difference over the readable votes is above `least_margin`, lengths balanced.

    The summaries alone are compared and kept.
    """
    found = _judged(params, candidates, problems, judgements)
    return preferences_frame([one.row for one in found if one.row is not None and not one.reason])


def pair_drops(
    *, params: ChosenPairParams, candidates: pl.DataFrame, problems: pl.DataFrame, judgements: pl.DataFrame
) -> pl.DataFrame:
    """DROPS: the pairs that were judged and are no preference: unreadable in an order, too close, or by lengths."""
    gone = [one for one in _judged(params, candidates, problems, judgements) if one.reason]
    rows = [(one.name, one.problem_id, "preference", one.reason, one.value, one.evidence[:EVIDENCE]) for one in gone]
    return pl.DataFrame(rows, schema={f.name: pl.String for f in TABLES["drops"].schema}, orient="row")


def _judged(
    params: ChosenPairParams, candidates: pl.DataFrame, problems: pl.DataFrame, judgements: pl.DataFrame
) -> list[_Judged]:
    """Every pair once: its row of PREFERENCES if the votes decide, and why it leaves if it does."""
    votes = votes_by_prompt(judgements, list(POINTS))
    found = [_voted(params, a, b, votes) for a, b in pairs(params, candidates, problems)]
    gone = unbalanced(params.lengths, [one.row for one in found if one.row is not None])
    return [
        _without(one, *gone[one.row["pair_id"]]) if one.row and one.row["pair_id"] in gone else one for one in found
    ]


def _without(one: _Judged, reason: str, value: str) -> _Judged:
    return replace(one, reason=reason, value=value)


def _voted(params: PairJudgeParams, a: Row, b: Row, votes: dict[str, list[str | None]]) -> _Judged:
    """What the votes say about one pair."""
    points, unread = points_of(params.template, a, b, votes)
    mean = sum(points) / len(points) if points else 0.0
    name, text = row_id("judged pair", a["candidate_id"], b["candidate_id"]), a["summary"]
    if not points or abs(mean) <= params.least_margin:
        reason = "too_close" if points else "unreadable_judgement"
        return _Judged(name, a["problem_id"], text, None, reason, f"{abs(mean):g}, {unread} unread")
    better, worse = (a, b) if mean > 0 else (b, a)
    judge = judge_name(params.model, params.template)
    row = preference(better, worse, abs(mean), judge, params.votes - unread, unread)
    return _Judged(name, a["problem_id"], text, row)


def orders(template: str, a: Row, b: Row) -> tuple[str, str]:
    """The judge's prompt with a first, and with b first; rows with question and summary."""
    places = ({"{a}": x["summary"], "{b}": y["summary"], "{question}": a["question"]} for x, y in ((a, b), (b, a)))
    first, second = (filled(template, p) for p in places)
    return first, second


def points_of(template: str, a: Row, b: Row, votes: dict[str, list[str | None]]) -> tuple[list[float], int]:
    """Mean points for a in each order, and how many votes were unread; none where one order is: order is a bias."""
    forth, back = (votes.get(text, []) for text in orders(template, a, b))
    for_a = [[POINTS[v] for v in forth if v], [-POINTS[v] for v in back if v]]
    unread = sum(v is None for v in (*forth, *back))
    return [sum(order) / len(order) for order in for_a] if all(for_a) else [], unread


JUDGE_PAIRS = Step("judge_pairs", "1", "call", TABLES["candidates"])
JUDGED_PREFER = Step("judged_preferences", "2", "reduce", TABLES["preferences"], judged_preferences)
PAIR_DROPS = Step("pair_drops", "2", "reduce", TABLES["drops"], pair_drops)
