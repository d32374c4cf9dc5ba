"""Puzzles, judged by reasoning-gym's scorers in workers that can be killed.

Gold is JSON `{"task": NAME, "entry": LITERAL}`, the entry with question, answer and metadata as Python writes it. Full
marks are correct, less is wrong, and so is what a scorer cannot read; time-outs and broken golds are undecided.
"""

import json
from collections.abc import Sequence

from r1data.rewards.format import answer_text
from r1data.rewards.score import ProgramFacts, RuleVerdict
from r1data.verify.scorers import FAULTS, read_logic
from r1data.verify.worker_client import Service

LONGEST = 4_000
_SUM = json.dumps({"task": "chain_sum", "entry": "{'question': '1 + 2?', 'answer': '3'}"})
SERVICE = Service(
    "logic",
    {("logic", _SUM, "3"): "1.0", ("logic", _SUM, "4"): "0.0"},
    "reasoning-gym behaves differently here: install the version of constraints.txt",
)


def judged_puzzles(completions: Sequence[tuple[str, str, str | None]]) -> list[RuleVerdict]:
    """The scorer's word on every (completion, finish reason, gold); its partial credit is kept as `program.share`."""
    found = [_asked(*c) for c in completions]
    outcomes = SERVICE.outcomes(f for f in found if not isinstance(f, RuleVerdict))
    return [f if isinstance(f, RuleVerdict) else _verdict(f[2], outcomes[f]) for f in found]


def _asked(completion: str, finish_reason: str, gold: str | None) -> tuple[str, str, str] | RuleVerdict:
    """The request to a scorer, or the verdict that needs none."""
    if not gold:
        return RuleVerdict("undecided", "no_gold", None, "none")
    try:
        read_logic(gold)
    except FAULTS:
        return RuleVerdict("undecided", "unparseable_gold", None, "none")
    answer, how = answer_text(completion)
    if answer is None:
        return RuleVerdict("wrong", "truncated" if finish_reason != "stop" else how, None, "extraction")
    if len(answer) > LONGEST:
        return RuleVerdict("wrong", "too_long", answer[:LONGEST], "scorer")
    return "logic", gold, answer


def _verdict(answer: str, outcome: str) -> RuleVerdict:
    if outcome == "unreadable":
        return RuleVerdict("wrong", "unreadable_answer", answer, "scorer")
    if outcome in ("gold", "timeout", "error"):
        return RuleVerdict("undecided", "unparseable_gold" if outcome == "gold" else outcome, answer, "scorer")
    share = float(outcome)
    return RuleVerdict("correct" if share >= 1.0 else "wrong", "", answer, "scorer", ProgramFacts(share=share))
