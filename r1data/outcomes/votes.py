"""cons@k: whether the majority of a problem's candidates is right, votes counted by classes of equal answers.

Correct answers are one class: each equals the gold. Wrong ones are one class where their exact values or spellings are
the same and, in maths, where the symbolic tier says so; it is asked only where that could change the majority.
"""

from collections import Counter
from itertools import combinations
from typing import Any

from r1data.rewards.maths import compare, normalised, rational
from r1data.verify.symbolic import symbolic_comparisons


def majority(rows: list[dict[str, Any]]) -> float | None:
    """The expected accuracy of the most voted class, ties broken fairly; 0 where no decided candidate has an answer.

    None where nothing is decided, and for programs, which are no votes: two right ones are rarely the same text.
    """
    decided = [r for r in rows if r["verdict"] != "undecided"]
    if not decided or decided[0]["kind"] == "code":
        return None
    right = sum(r["verdict"] == "correct" for r in decided)
    wrong = Counter(_spelling(r["answer"]) for r in decided if r["verdict"] == "wrong" and r["answer"] is not None)
    close = len(wrong) > 1 and max(wrong.values()) <= right <= wrong.total()
    votes = [right, *(_merged(wrong) if close and decided[0]["kind"] == "math" else wrong.values())]
    return float(right == max(votes)) / votes.count(max(votes)) if any(votes) else 0.0


def _spelling(answer: str) -> str:
    value = rational(answer)
    return str(value) if value is not None else normalised(answer)


def _merged(votes: Counter[str]) -> list[int]:
    """Votes of the classes, those that are equal as one."""
    answers = sorted(votes, key=lambda a: (-votes[a], a))
    found = {(a, b): compare(b, a) for a, b in combinations(answers, 2)}
    symbolic = symbolic_comparisons(pair for pair, said in found.items() if said == "unknown")
    first = {a: a for a in answers}
    for (a, b), said in found.items():
        if "equal" in (said, symbolic.get((a, b))):
            first = {c: first[a] if f == first[b] else f for c, f in first.items()}
    merged: Counter[str] = Counter()
    for answer, number in votes.items():
        merged[first[answer]] += number
    return list(merged.values())
