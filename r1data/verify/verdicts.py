"""The verdict step: one row a candidate, `correct | wrong | undecided` with reason and tier, by the problem's kind.

Maths: exact tiers in this process; what they cannot say goes, each distinct (gold, answer) once, to symbolic workers.
Programs go to the sandbox, puzzles to their scorers. What no rule verifies is not asked for.
"""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import polars as pl

from r1data.judge.answers import AnswerJudgeParams, judged_answers
from r1data.params import Params
from r1data.rewards.choice import choice_verdict
from r1data.rewards.maths import normalised
from r1data.rewards.score import ProgramFacts, RuleVerdict, rule_verdict
from r1data.step import Step
from r1data.verify.algebra import Outcome
from r1data.verify.logic import judged_puzzles
from r1data.verify.programs import judged_programs
from r1data.verify.symbolic import symbolic_comparisons
from schemas import TABLES

VERIFIER = "rules-3+math-verify+sandbox+reasoning-gym"
SAID = ("verdict", "reason", "answer", "tier")
FACTS = {"parses": pl.Boolean, "lints": pl.Boolean, "runs": pl.Boolean, "share": pl.Float64, "speed": pl.Float64}


class Asked(NamedTuple):
    """A completion, how it ended, what its problem holds to be right, and the problem's kind."""

    completion: str
    finish_reason: str
    gold: str | None
    kind: str = "math"


class VerifyParams(Params):
    """Whether the symbolic tier is used after the exact ones, and who judges what no rule verifies."""

    symbolic: bool = True
    judge: AnswerJudgeParams | None = None


def verdicts(
    *,
    params: VerifyParams,
    candidates: pl.DataFrame,
    problems: pl.DataFrame,
    judgements: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """VERDICTS for CANDIDATES, gold answers and kinds from PROBLEMS, the judge's votes from its CANDIDATES."""
    about = {p: (a, k) for p, a, k in problems.select("problem_id", "answer", "kind").iter_rows()}
    started = time.perf_counter()
    told = candidates.select("completion", "finish_reason", "problem_id").iter_rows()
    found = judged([Asked(text, finish, *about.get(p, (None, "math"))) for text, finish, p in told], params.symbolic)
    if params.judge and judgements is not None:
        by_judge = judged_answers(params.judge, candidates, problems, judgements)
        found = [by_judge.get(c, v) for c, v in zip(candidates["candidate_id"], found, strict=True)]
    each = (time.perf_counter() - started) * 1000 / max(1, len(found))
    facts = [v.program or ProgramFacts() for v in found]
    return candidates.select("candidate_id", "problem_id").with_columns(
        *(pl.Series(c, [getattr(v, c) for v in found], dtype=pl.String) for c in SAID),
        *(pl.Series(c, [getattr(f, c) for f in facts], dtype=kind) for c, kind in FACTS.items()),
        verifier=pl.lit(VERIFIER),
        milliseconds=pl.lit(each),
    )


def judged(asked: Sequence[Asked], symbolic: bool = True) -> list[RuleVerdict]:
    """The verdict of every completion, in order: for rejection sampling and for RL alike."""
    found: list[RuleVerdict | None] = [None] * len(asked)
    for kind in dict.fromkeys(a.kind for a in asked):
        places = [i for i, a in enumerate(asked) if a.kind == kind]
        for i, verdict in zip(places, _judge_of(kind, symbolic)([asked[i] for i in places]), strict=True):
            found[i] = verdict
    return [v for v in found if v is not None]


def _judge_of(kind: str, symbolic: bool) -> Callable[[Sequence[Asked]], list[RuleVerdict]]:
    judges: dict[str, Callable[[Sequence[Asked]], list[RuleVerdict]]] = {
        "math": lambda asked: judged_maths(asked, symbolic),
        "code": lambda asked: judged_programs([a[:3] for a in asked]),
        "choice": lambda asked: [choice_verdict(*a[:3]) for a in asked],
        "logic": lambda asked: judged_puzzles([a[:3] for a in asked]),
    }
    return judges.get(kind, lambda asked: [_by_no_rule(a) for a in asked])


def _by_no_rule(asked: Asked) -> RuleVerdict:
    """Undecided until a judge has voted; a truncated answer is wrong without one, as everywhere."""
    if asked.finish_reason != "stop":
        return RuleVerdict("wrong", "truncated", None, "extraction")
    return RuleVerdict("undecided", "no_rule", None, "none")


def judged_maths(asked: Sequence[Asked], symbolic: bool) -> list[RuleVerdict]:
    """What the exact tiers leave open goes to the symbolic one, each distinct (gold, normalised answer) once."""
    found = [rule_verdict(*a[:3]) for a in asked]
    open_pairs = [
        (a.gold, normalised(v.answer)) if symbolic and v.reason == "needs_symbolic" and a.gold and v.answer else None
        for a, v in zip(asked, found, strict=True)
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


VERIFY = Step("verify", "4", "map", TABLES["verdicts"], verdicts)
