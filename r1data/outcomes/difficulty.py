"""How hard each problem is for the checkpoint that was asked: one row a problem, from its candidates."""

from itertools import groupby
from typing import Any

import polars as pl

from r1data.digest import row_id
from r1data.gate_params import GateParams
from r1data.outcomes.estimates import drawn, interval, pass_at
from r1data.params import Params
from r1data.sampling_params import SamplingParams
from r1data.step import Step
from r1data.steps.gates import missed
from schemas import TABLES

Rows = list[dict[str, Any]]


class DifficultyParams(Params):
    """How candidates were drawn, and the gates that an accepted one passes, so that the stopping rule is known."""

    sampling: SamplingParams
    gate: GateParams | None = None


def difficulty(
    *, params: DifficultyParams, candidates: pl.DataFrame, verdicts: pl.DataFrame, measures: pl.DataFrame
) -> pl.DataFrame:
    """DIFFICULTY of the problems asked, whose candidates are all here."""
    told = verdicts.select("candidate_id", "verdict", "reason")
    joined = candidates.join(told, on="candidate_id", how="inner", validate="1:1")
    known = measures.drop("problem_id", "completion_tokens")
    joined = joined.join(known, on="candidate_id", how="inner", validate="1:1").sort("problem_id", "sample_index")
    rows = [_row(params, list(g)) for _, g in groupby(joined.iter_rows(named=True), key=lambda r: r["problem_id"])]
    return pl.DataFrame(rows, schema=pl.DataFrame(TABLES["difficulty"].empty()).schema)


def _row(params: DifficultyParams, rows: Rows) -> dict[str, object]:
    accepted = [r["verdict"] == "correct" and not (params.gate and missed(params.gate, r)) for r in rows]
    found = drawn([r["verdict"] for r in rows], accepted)
    low, high = interval(found.correct, found.decided)
    first = rows[0]
    return {
        "difficulty_id": row_id("difficulty", first["problem_id"], first["model_digest"]),
        "problem_id": first["problem_id"],
        "model": first["model"],
        "model_digest": first["model_digest"],
        "asked": found.asked,
        "accepted": found.accepted,
        "correct": found.correct,
        "wrong": found.decided - found.correct,
        "undecided": len(found.undecided),
        "truncated": sum(r["truncated"] for r in rows),
        "pass_rate": pass_at(1, params.sampling, found),
        "low": low,
        "high": high,
        "completion_tokens": sum(r["completion_tokens"] for r in rows) / len(rows),
    }


DIFFICULTY = Step("difficulty", "1", "map", TABLES["difficulty"], difficulty)
