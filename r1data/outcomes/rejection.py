"""Rejection sampling: the judge of candidates while they are made. What counts is right and passes the gates."""

from collections.abc import Sequence

import polars as pl

from r1data.gate_params import GateParams
from r1data.generate.sampler import Answered, Judge, Outcome
from r1data.rewards.score import RuleVerdict
from r1data.steps.gates import missed
from r1data.steps.measures import measured
from r1data.verify.verdicts import Asked, judged


def judge_of(problems: pl.DataFrame, gate: GateParams | None) -> Judge:
    """Judges by the problems' gold answers and kinds (PROBLEMS) and, with a gate, by its thresholds too."""
    columns = ["problem_id", "answer", "kind", "language"]
    about = {p: (gold, kind, language) for p, gold, kind, language in problems.select(columns).iter_rows()}

    def judge(answered: Sequence[Answered]) -> list[Outcome]:
        verdicts = judged([Asked(a.completion, a.finish_reason, *about[a.problem_id][:2]) for a in answered])
        return [_outcome(gate, a, v, about[a.problem_id][2]) for a, v in zip(answered, verdicts, strict=True)]

    return judge


def _outcome(gate: GateParams | None, answered: Answered, verdict: RuleVerdict, language: str) -> Outcome:
    accepted = verdict.verdict == "correct"
    if accepted and gate is not None:
        facts = measured(answered.completion, answered.finish_reason, language)
        told = {"finish_reason": answered.finish_reason, "completion_tokens": answered.tokens}
        accepted = missed(gate, {"verdict": verdict.verdict, "reason": verdict.reason, **told, **facts}) is None
    return Outcome(accepted, verdict.verdict == "undecided")
