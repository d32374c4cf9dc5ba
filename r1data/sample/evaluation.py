"""What a checkpoint can do, with 95 % bootstrap intervals over problems (paper D.1: pass@1 as the mean over k samples).

Undecided verdicts leave numerator and denominator and are counted; a measure that is null is counted, never taken as 1.
"""

from collections import Counter
from collections.abc import Callable
from itertools import groupby
from typing import Any

import numpy as np
import polars as pl

from r1data.digest import row_id
from r1data.params import Params
from r1data.rewards.maths import normalised, rational
from r1data.step import Step
from schemas import TABLES

Rows = list[dict[str, Any]]


class EvaluateParams(Params):
    """Which checkpoint, and how intervals are drawn."""

    checkpoint: str
    bootstrap: int = 2_000
    seed: int = 0


def evaluation(
    *, params: EvaluateParams, candidates: pl.DataFrame, verdicts: pl.DataFrame, measures: pl.DataFrame
) -> pl.DataFrame:
    """EVALUATIONS: one row a metric."""
    wanted = ["candidate_id", "problem_id", "completion_tokens", "model_digest"]
    joined = (
        candidates.select(wanted)
        .join(verdicts.select("candidate_id", "verdict", "answer"), on="candidate_id", how="inner", validate="1:1")
        .join(measures.drop("problem_id", "completion_tokens"), on="candidate_id", how="inner", validate="1:1")
        .sort("problem_id", "candidate_id")
    )
    problems = [list(g) for _, g in groupby(joined.iter_rows(named=True), key=lambda r: r["problem_id"])]
    digest = joined["model_digest"][0] if joined.height else ""
    rows = []
    for metric, measure in METRICS.items():
        values = [measure(rows_of_problem) for rows_of_problem in problems]
        known = np.array([v for v, _ in values if v is not None], dtype=float)
        low, high = interval(known, params.bootstrap, params.seed)
        rows.append(
            {
                "evaluation_id": row_id("evaluation", params.checkpoint, digest, metric),
                "checkpoint": params.checkpoint,
                "model_digest": digest,
                "metric": metric,
                "value": float(known.mean()) if known.size else None,
                "low": low,
                "high": high,
                "problems": len(problems),
                "samples": joined.height,
                "unmeasured": sum(missing for _, missing in values),
            }
        )
    return pl.DataFrame(rows, schema_overrides={"value": pl.Float64, "low": pl.Float64, "high": pl.Float64})


def interval(
    values: "np.ndarray[Any, np.dtype[np.float64]]", draws: int, seed: int
) -> tuple[float | None, float | None]:
    """The 95 % bootstrap interval of a mean over problems; (None, None) of nothing."""
    if not values.size:
        return None, None
    picks = np.random.default_rng(seed).integers(0, values.size, (draws, values.size))
    low, high = np.quantile(values[picks].mean(axis=1), (0.025, 0.975))
    return float(low), float(high)


def majority(rows: Rows) -> float | None:
    """cons@k: whether the commonest answer is right; answers are the same when their values are. None: none decided."""
    votes = Counter(key for r in rows if (key := _answer_class(r)) is not None)
    right = {_answer_class(r) for r in rows if r["verdict"] == "correct"}
    if not any(r["verdict"] != "undecided" for r in rows):
        return None
    if not votes:
        return 0.0
    top = max(votes.values())
    return float(min(k for k, v in votes.items() if v == top) in right)


def _answer_class(row: dict[str, Any]) -> str | None:
    if row["verdict"] == "undecided" or row["answer"] is None:
        return None
    value = rational(row["answer"])
    return str(value) if value is not None else normalised(row["answer"])


def _mean(column: str) -> Callable[[Rows], tuple[float | None, int]]:
    def measure(rows: Rows) -> tuple[float | None, int]:
        known = [float(r[column]) for r in rows if r[column] is not None]
        return (sum(known) / len(known) if known else None), len(rows) - len(known)

    return measure


def _pass_at_1(rows: Rows) -> tuple[float | None, int]:
    decided = [r["verdict"] == "correct" for r in rows if r["verdict"] != "undecided"]
    return (sum(decided) / len(decided) if decided else None), len(rows) - len(decided)


def _cons(rows: Rows) -> tuple[float | None, int]:
    return majority(rows), sum(r["verdict"] == "undecided" for r in rows)


METRICS: dict[str, Callable[[Rows], tuple[float | None, int]]] = {
    "pass@1": _pass_at_1,
    "cons@k": _cons,
    "format": _mean("format_ok"),
    "language_consistency": _mean("language_consistency"),
    "completion_tokens": _mean("completion_tokens"),
    "reflection_words": _mean("reflection_words"),
    "truncated": _mean("truncated"),
}

EVALUATE = Step("evaluate", "1", "reduce", TABLES["evaluations"], evaluation)
