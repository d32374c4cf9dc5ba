"""What a checkpoint can do, with 95 % bootstrap intervals over problems (paper D.1: pass@1 as the mean over k samples).

pass@k has the number of samples as its k; a problem with an undecided one has no such estimate.

Undecided verdicts leave numerator and denominator and are counted; a measure that is null is counted, never taken as 1.
"""

from collections.abc import Callable
from itertools import groupby
from typing import Any

import numpy as np
import polars as pl

from r1data.digest import row_id
from r1data.outcomes.estimates import drawn, pass_at
from r1data.outcomes.votes import majority
from r1data.params import Params
from r1data.sampling_params import SamplingParams
from r1data.step import Step
from schemas import TABLES

Rows = list[dict[str, Any]]
Measure = Callable[[Rows], tuple[float | None, int]]


class EvaluateParams(Params):
    """Which checkpoint, how its candidates were drawn, and how intervals are."""

    checkpoint: str
    sampling: SamplingParams
    bootstrap: int = 2_000
    seed: int = 0


def evaluation(
    *,
    params: EvaluateParams,
    candidates: pl.DataFrame,
    verdicts: pl.DataFrame,
    measures: pl.DataFrame,
    problems: pl.DataFrame,
) -> pl.DataFrame:
    """EVALUATIONS: one row a metric."""
    wanted = ["candidate_id", "problem_id", "sample_index", "completion_tokens", "model_digest"]
    joined = (
        candidates.select(wanted)
        .join(verdicts.select("candidate_id", "verdict", "answer"), on="candidate_id", how="inner", validate="1:1")
        .join(measures.drop("problem_id", "completion_tokens"), on="candidate_id", how="inner", validate="1:1")
        .join(problems.select("problem_id", "kind"), on="problem_id", how="inner", validate="m:1")
        .sort("problem_id", "sample_index")
    )
    groups = [list(g) for _, g in groupby(joined.iter_rows(named=True), key=lambda r: r["problem_id"])]
    digest = joined["model_digest"][0] if joined.height else ""
    rows = []
    for metric, measure in _metrics(params.sampling).items():
        values = [measure(group) for group in groups]
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
                "problems": len(groups),
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


def _metrics(sampling: SamplingParams) -> dict[str, Measure]:
    """By name: the value of one problem, or None, and how many of its samples it leaves out."""
    many = {f"pass@{sampling.samples}": _pass_at(sampling.samples, sampling)} if sampling.samples > 1 else {}
    means = ("language_consistency", "completion_tokens", "reflection_words", "truncated")
    return {
        "pass@1": _pass_at(1, sampling),
        **many,
        "cons@k": _cons,
        "format": _mean("format_ok"),
        **{column: _mean(column) for column in means},
    }


def _pass_at(k: int, sampling: SamplingParams) -> Measure:
    def measure(rows: Rows) -> tuple[float | None, int]:
        verdicts = [r["verdict"] for r in rows]
        found = drawn(verdicts, [v == "correct" for v in verdicts])
        value = pass_at(k, sampling, found)
        return value, len(found.undecided) if value is not None else len(rows)

    return measure


def _cons(rows: Rows) -> tuple[float | None, int]:
    value = majority(rows)
    return value, sum(r["verdict"] == "undecided" for r in rows) if value is not None else len(rows)


def _mean(column: str) -> Measure:
    def measure(rows: Rows) -> tuple[float | None, int]:
        known = [float(r[column]) for r in rows if r[column] is not None]
        return (sum(known) / len(known) if known else None), len(rows) - len(known)

    return measure


EVALUATE = Step("evaluate", "2", "reduce", TABLES["evaluations"], evaluation)
