"""The verdict step: one row a candidate, `correct | wrong | undecided` with reason and tier.

Exact tiers in this process; what they cannot say goes, each distinct (gold, answer) once, to the symbolic worker.
"""

import time

import polars as pl

from r1data.params import Params
from r1data.rewards.score import RuleVerdict, rule_verdict
from r1data.step import Step
from r1data.verify.symbolic import Outcome, symbolic_comparisons
from schemas import TABLES

VERIFIER = "rules-1+math-verify"


class VerifyParams(Params):
    """Whether the symbolic tier is used after the exact ones."""

    symbolic: bool = True


def verdicts(*, params: VerifyParams, candidates: pl.DataFrame, problems: pl.DataFrame) -> pl.DataFrame:
    """VERDICTS for CANDIDATES, gold answers from PROBLEMS."""
    golds = dict(zip(problems["problem_id"], problems["answer"], strict=True))
    started = time.perf_counter()
    rows = list(zip(candidates["problem_id"], candidates["completion"], candidates["finish_reason"], strict=True))
    found = [rule_verdict(text, finish, golds.get(problem)) for problem, text, finish in rows]
    pairs = [
        (golds[problem], v.answer)
        for (problem, _, _), v in zip(rows, found, strict=True)
        if params.symbolic and v.reason == "needs_symbolic" and v.answer
    ]
    outcomes = symbolic_comparisons(pairs)
    final = [
        _resolved(v, outcomes.get((golds.get(p, ""), v.answer or ""))) for (p, _, _), v in zip(rows, found, strict=True)
    ]
    each = (time.perf_counter() - started) * 1000 / max(1, len(rows))
    return candidates.select("candidate_id", "problem_id").with_columns(
        verdict=pl.Series([v.verdict for v in final], dtype=pl.String),
        reason=pl.Series([v.reason for v in final], dtype=pl.String),
        answer=pl.Series([v.answer for v in final], dtype=pl.String),
        tier=pl.Series([v.tier for v in final], dtype=pl.String),
        verifier=pl.lit(VERIFIER),
        milliseconds=pl.lit(each),
    )


def _resolved(verdict: RuleVerdict, outcome: Outcome | None) -> RuleVerdict:
    """The symbolic outcome as a verdict; a failure to judge stays undecided."""
    if outcome is None:
        return verdict
    if outcome in ("equal", "different"):
        return RuleVerdict("correct" if outcome == "equal" else "wrong", "", verdict.answer, "symbolic")
    return RuleVerdict("undecided", outcome, verdict.answer, "symbolic")


VERIFY = Step("verify", "2", "map", TABLES["verdicts"], verdicts)
