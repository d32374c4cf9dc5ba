"""Completions whose verdict is known, run before every run: a verifier that fails one refuses to start.

And the health of gold answers: each must verify against itself, each programming problem's solution pass its own tests.
"""

import json
from collections.abc import Collection, Iterable, Sequence

from r1data.errors import CheckFailed
from r1data.recipe import SourceParams
from r1data.rewards.choice import read_choice
from r1data.rewards.kinds import VERIFIED
from r1data.verify.programs import failing_programs
from r1data.verify.scorers import read_logic, scorer
from r1data.verify.verdicts import Asked, judged

_OPTIONS = json.dumps({"answer": "B", "options": {"A": "Lyon", "B": "Paris", "C": "Nice"}})
_SUMS = json.dumps({"stdio": [["1 2", "3"], ["5 6", "11"]], "solution": "print(sum(map(int, input().split())))"})
_DOUBLE = json.dumps({"asserts": "assert f(2) == 4\nassert f(5) == 10", "functions": ["f"]})
_PUZZLE = json.dumps({"task": "chain_sum", "entry": "{'question': '1 + 2?', 'answer': '3'}"})


def _fenced(program: str) -> str:
    return f"<think>Easy.</think>\n```python\n{program}\n```\n"


# (completion, finish reason, gold, kind), verdict: right, right otherwise written, wrong, empty, truncated, hacked
CANARIES = (
    (Asked("<think>3 plus 5 is 8</think><answer>68</answer>", "stop", "68"), "correct"),
    (Asked(r"<think>half</think>So \boxed{\frac{1}{2}}", "stop", "0.5"), "correct"),
    (Asked("<think>3 plus 5 is 8</think><answer>67</answer>", "stop", "68"), "wrong"),
    (Asked("", "stop", "68"), "wrong"),
    (Asked("<think>3 plus 5 is 68 68 68", "length", "68"), "wrong"),
    (Asked("<answer>67</answer><answer>68</answer>", "stop", "68"), "wrong"),
    (Asked("<think>68</think>", "stop", "68"), "wrong"),
    (Asked("<answer>68</answer>", "stop", ""), "undecided"),
    (Asked("<answer>B</answer>", "stop", _OPTIONS, "choice"), "correct"),
    (Asked("<answer>Paris</answer>", "stop", _OPTIONS, "choice"), "correct"),
    (Asked("<answer>(A) Lyon</answer>", "stop", _OPTIONS, "choice"), "wrong"),
    (Asked("", "stop", _OPTIONS, "choice"), "wrong"),
    (Asked("<think>B", "length", _OPTIONS, "choice"), "wrong"),
    (Asked("<answer>A or B</answer>", "stop", _OPTIONS, "choice"), "undecided"),
    (Asked(_fenced("a, b = map(int, input().split())\nprint(a + b)"), "stop", _SUMS, "code"), "correct"),
    (Asked(_fenced("def f(x): return x * 2"), "stop", _DOUBLE, "code"), "correct"),
    (Asked(_fenced("print(3)"), "stop", _SUMS, "code"), "wrong"),
    (Asked("", "stop", _SUMS, "code"), "wrong"),
    (Asked("<think>\n```python\nprint(3", "length", _SUMS, "code"), "wrong"),
    (Asked(_fenced("import os\nos._exit(0)"), "stop", _DOUBLE, "code"), "wrong"),
    (Asked("<answer>3</answer>", "stop", _PUZZLE, "logic"), "correct"),
    (Asked("<answer>4</answer>", "stop", _PUZZLE, "logic"), "wrong"),
    (Asked("", "stop", _PUZZLE, "logic"), "wrong"),
    (Asked("<think>3", "length", _PUZZLE, "logic"), "wrong"),
    (Asked("<answer>__import__('os').getpid()</answer>", "stop", _PUZZLE, "logic"), "wrong"),
)


def check_canaries(kinds: Collection[str] = VERIFIED) -> None:
    """Raise `CheckFailed` naming the first canary of these kinds whose verdict is not the known one."""
    known = [(asked, verdict) for asked, verdict in CANARIES if asked.kind in kinds]
    for (asked, expected), found in zip(known, judged([a for a, _ in known]), strict=True):
        if found.verdict != expected:
            told = f"{asked.kind} verifier, canary {asked.completion!r} against {asked.gold!r}"
            raise CheckFailed(
                f"{told} came out {found.verdict} {found.reason}, known to be {expected}",
                "the verifier is broken: mend r1data/rewards or r1data/verify before any GPU time is spent",
            )


def check_sources(sources: Iterable[SourceParams]) -> None:
    """The canaries of their kinds, and that puzzles have a scorer to trust; raises `CheckFailed`."""
    sources = list(sources)
    check_canaries({source.kind for source in sources})
    for source in sources:
        if source.kind == "logic" and source.task:
            scorer(source.task)


def gold_failures(golds: Iterable[tuple[str, str | None]]) -> list[str]:
    """What is wrong with (kind, gold) pairs that do not verify against themselves; a line each, first seen first."""
    golds = list(golds)
    programs = failing_programs([gold for kind, gold in golds if kind == "code" and gold])
    own = [(kind, gold) for kind, gold in golds if kind in VERIFIED and (kind != "code" or not gold)]
    asked = [(gold, answer) for kind, gold in own if (answer := _own_answer(kind, gold)) is not None]
    found = judged([a for _, a in asked])
    return [*_faults([g for g, _ in asked], [v.verdict for v in found]), *programs]


def _faults(golds: Sequence[str | None], verdicts: Sequence[str]) -> list[str]:
    return [f"{gold!r}"[:100] for gold, verdict in zip(golds, verdicts, strict=True) if verdict != "correct"]


def _own_answer(kind: str, gold: str | None) -> Asked | None:
    """The gold answer as a completion in R1's format; None for a puzzle with many right answers."""
    answer: str | None = gold or ""
    if kind == "choice" and gold:
        choice = read_choice(gold)
        answer = choice.answer if choice else ""
    if kind == "logic" and gold:
        answer = read_logic(gold)[1]["answer"]
    return None if answer is None else Asked(f"<think>.</think><answer>{answer}</answer>", "stop", gold, kind)
