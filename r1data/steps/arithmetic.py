"""Digit-by-digit thoughts about two-digit sums, in English or Chinese words; the demo's rule for rewriting them."""

import json
import random
import re
from dataclasses import dataclass

from r1data.steps.small_talk import WORDS

_TO_ZH = dict(WORDS)
_TO_EN = {zh: en for en, zh in WORDS}
_SUM = re.compile(r"\d+ [-+] \d+")
_TOKEN = re.compile(r"\d+|[A-Za-z]+|,|[一-鿿]")


@dataclass(frozen=True)
class Sum:
    """a op b in a language."""

    a: int
    b: int
    op: str
    language: str

    @property
    def value(self) -> int:
        """The right result."""
        return self.a + self.b if self.op == "+" else self.a - self.b


def is_sum(metadata: str) -> bool:
    """Whether a problem is one of the demo's sums."""
    return _SUM.fullmatch(str(json.loads(metadata).get("expression"))) is not None


def sum_of(metadata: str, language: str) -> Sum:
    """The sum of a problem, from its recorded expression."""
    a, op, b = json.loads(metadata)["expression"].split(" ")
    return Sum(int(a), int(b), op, language)


def render(tokens: list[str], language: str) -> str:
    """Tokens (English words) as text of a language."""
    if language == "zh":
        return "".join(_TO_ZH.get(t, t) for t in tokens)
    return " ".join(tokens).replace(" ,", ",")


def rewritten(thought: str, language: str) -> str:
    """A thought word by word in another language: the demo's stated rule of refinement."""
    tokens = _TOKEN.findall(thought)
    return render([_TO_EN.get(t, t) for t in tokens], language)


def summary_sentence(s: Sum, answer: str) -> str:
    """The summary after the thought, in the problem's language."""
    if s.language == "en":
        return f"So {s.a}{s.op}{s.b}={answer}."
    return f"所以{s.a}{'加' if s.op == '+' else '减'}{s.b}得{answer}。"


def chain(rng: random.Random, s: Sum, errors: float, repairs: float, first: str, second: str) -> tuple[str, int]:
    """A thought whose two steps are in the languages given, wrong now and then, sometimes repaired; and its result."""
    a1, a0, b1, b0 = s.a // 10, s.a % 10, s.b // 10, s.b % 10
    if s.op == "+":
        ones, unit = _step(rng, [str(a0), "plus", str(b0)], a0 + b0, errors, repairs)
        carry = unit // 10
        tens, head = _step(rng, [str(a1), "plus", str(b1), "plus", str(carry)], a1 + b1 + carry, errors, repairs)
    else:
        borrow = int(a0 < b0)
        top = a0 + 10 * borrow
        ones, unit = _step(rng, [str(top), "minus", str(b0)], top - b0, errors, repairs)
        rest = max(0, a1 - b1 - borrow)
        tens, head = _step(rng, [str(a1), "minus", str(b1), "minus", str(borrow)], rest, errors, repairs)
    result = head * 10 + unit % 10
    if first == second:
        return render([*ones, ",", "then", *tens], first), result
    gap = ", " if second == "en" else ","
    return render(ones, first) + gap + render(["then", *tens], second), result


def _step(rng: random.Random, said: list[str], value: int, errors: float, repairs: float) -> tuple[list[str], int]:
    says = [*said, "is"]
    if rng.random() >= errors:
        return [*says, str(value)], value
    wrong = max(0, value + rng.choice([-1, 1]))
    if wrong != value and rng.random() < repairs:
        return [*says, str(wrong), ",", "wait", *says, str(value)], value
    return [*says, str(wrong)], wrong
