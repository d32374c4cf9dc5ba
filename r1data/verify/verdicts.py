"""The verdict step: one row a candidate, `correct | wrong | undecided` with reason and tier.

Exact tiers in this process; what they cannot say goes, each distinct (gold, answer) once, to the symbolic worker.
"""

import time
from collections.abc import Sequence

import polars as pl

from r1data.params import Params
from r1data.rewards.maths import normalised
from r1data.rewards.score import RuleVerdict, rule_verdict
from r1data.step import Step
from r1data.verify.algebra import Outcome
from r1data.verify.symbolic import symbolic_comparisons
from schemas import TABLES

VERIFIER = "rules-2+math-verify"


class VerifyParams(Params):
    """Whether the symbolic tier is used after the exact ones."""

    symbolic: bool = True


def verdicts(*, params: VerifyParams, candidates: pl.DataFrame, problems: pl.DataFrame) -> pl.DataFrame:
    """VERDICTS for CANDIDATES, gold answers from PROBLEMS."""
    golds = dict(zip(problems["problem_id"], problems["answer"], strict=True))
    started = time.perf_counter()
    asked = zip(candidates["problem_id"], candidates["completion"], candidates["finish_reason"], strict=True)
    final = judged([(text, finish, golds.get(problem)) for problem, text, finish in asked], symbolic=params.symbolic)
    each = (time.perf_counter() - started) * 1000 / max(1, len(final))
    return candidates.select("candidate_id", "problem_id").with_columns(
        verdict=pl.Series([v.verdict for v in final], dtype=pl.String),
        reason=pl.Series([v.reason for v in final], dtype=pl.String),
        answer=pl.Series([v.answer for v in final], dtype=pl.String),
        tier=pl.Series([v.tier for v in final], dtype=pl.String),
        verifier=pl.lit(VERIFIER),
        milliseconds=pl.lit(each),
    )


def judged(completions: Sequence[tuple[str, str, str | None]], *, symbolic: bool = True) -> list[RuleVerdict]:
    """The verdict of every (completion, finish reason, gold answer): for rejection sampling and for RL alike.

    What the exact tiers leave open goes to the symbolic one, each distinct (gold, normalised answer) once.
    """
    found = [rule_verdict(*c) for c in completions]
    open_pairs = [
        (gold, normalised(v.answer)) if symbolic and v.reason == "needs_symbolic" and gold and v.answer else None
        for (_, _, gold), v in zip(completions, found, strict=True)
    ]
    outcomes = symbolic_comparisons(p for p in open_pairs if p)
    return [_resolved(v, outcomes[p] if p else None) for v, p in zip(found, open_pairs, strict=True)]


def _resolved(verdict: RuleVerdict, outcome: Outcome | None) -> RuleVerdict:
    """The symbolic outcome as a verdict; a failure to judge stays undecided."""
    if outcome is None:
        return verdict
    if outcome in ("equal", "different"):
        return RuleVerdict("correct" if outcome == "equal" else "wrong", "", verdict.answer, "symbolic")
    return RuleVerdict("undecided", outcome, verdict.answer, "symbolic")


VERIFY = Step("verify", "3", "map", TABLES["verdicts"], verdicts)
