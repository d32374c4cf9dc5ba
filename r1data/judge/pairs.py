"""Preference pairs by a language model's votes in both orders (paper 3.1): four votes a pair, a difference above one.

Only summaries are shown to it, as only they are rewarded. A pair whose votes cannot be read leaves with that reason.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import polars as pl

from r1data.digest import row_id
from r1data.judge.answers import filled, votes_by_prompt
from r1data.judge.reading import judge_name
from r1data.params import Params
from r1data.rewards.format import summary
from r1data.step import Step
from r1data.steps.preferences import preference, preferences_frame
from schemas import TABLES

# arena-hard's five verdicts as points for the response shown as A (paper B.2; the scale is ours, it is not stated)
POINTS = {"A>>B": 2, "A>B": 1, "A=B": 0, "B>A": -1, "B>>A": -2}
Row = dict[str, Any]


class PairJudgeParams(Params):
    """Which model judges, how it is asked, how often (half of the votes in each order); least difference kept."""

    model: str
    template: str
    temperature: float
    max_tokens: int
    votes: int
    max_pairs: int
    least_margin: float


def pair_questions(
    *, params: PairJudgeParams, candidates: pl.DataFrame, problems: pl.DataFrame
) -> list[tuple[str, str]]:
    """(problem_id, judge's prompt) for both orders of every pair."""
    return [(a["problem_id"], text) for a, b in pairs(params, candidates, problems) for text in _orders(params, a, b)]


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
    *, params: PairJudgeParams, candidates: pl.DataFrame, problems: pl.DataFrame, judgements: pl.DataFrame
) -> pl.DataFrame:
    """PREFERENCES: the pairs whose mean difference over the readable votes is above `least_margin`."""
    votes = votes_by_prompt(judgements, list(POINTS))
    rows = [_row(params, a, b, *_points(params, a, b, votes)) for a, b in pairs(params, candidates, problems)]
    return preferences_frame([r for r in rows if r is not None])


def pair_drops(
    *, params: PairJudgeParams, candidates: pl.DataFrame, problems: pl.DataFrame, judgements: pl.DataFrame
) -> pl.DataFrame:
    """DROPS: the pairs that were judged and are no preference: unreadable in an order, or too close."""
    votes = votes_by_prompt(judgements, list(POINTS))
    rows = []
    for a, b in pairs(params, candidates, problems):
        points, unread = _points(params, a, b, votes)
        mean = abs(sum(points) / len(points)) if points else 0.0
        if not points or mean <= params.least_margin:
            reason = "too_close" if points else "unreadable_judgement"
            name = row_id("judged pair", a["candidate_id"], b["candidate_id"])
            rows.append((name, a["problem_id"], "preference", reason, f"{mean:g}, {unread} unread", a["summary"][:160]))
    return pl.DataFrame(rows, schema={f.name: pl.String for f in TABLES["drops"].schema}, orient="row")


def _orders(params: PairJudgeParams, a: Row, b: Row) -> tuple[str, str]:
    """The prompt with a first, and with b first."""
    places = ({"{a}": x["summary"], "{b}": y["summary"], "{question}": a["question"]} for x, y in ((a, b), (b, a)))
    first, second = (filled(params.template, p) for p in places)
    return first, second


def _points(params: PairJudgeParams, a: Row, b: Row, votes: dict[str, list[str | None]]) -> tuple[list[float], int]:
    """Mean points for a in each order, and how many votes were unread; none where one order is: order is a bias."""
    forth, back = (votes.get(text, []) for text in _orders(params, a, b))
    for_a = [[POINTS[v] for v in forth if v], [-POINTS[v] for v in back if v]]
    unread = sum(v is None for v in (*forth, *back))
    return [sum(order) / len(order) for order in for_a] if all(for_a) else [], unread


def _row(params: PairJudgeParams, a: Row, b: Row, points: Sequence[float], unread: int) -> Row | None:
    mean = sum(points) / len(points) if points else 0.0
    if abs(mean) <= params.least_margin:
        return None
    better, worse = (a, b) if mean > 0 else (b, a)
    return preference(
        better, worse, abs(mean), judge_name(params.model, params.template), params.votes - unread, unread
    )


JUDGE_PAIRS = Step("judge_pairs", "1", "call", TABLES["candidates"])
JUDGED_PREFER = Step("judged_preferences", "1", "reduce", TABLES["preferences"], judged_preferences)
PAIR_DROPS = Step("pair_drops", "1", "reduce", TABLES["drops"], pair_drops)
