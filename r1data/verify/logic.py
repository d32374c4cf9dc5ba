"""reasoning-gym's own scorers for its tasks, made safe: those that evaluate what a model wrote are given a reader.

Gold is JSON `{"task": NAME, "entry": LITERAL}`, the entry with question, answer and metadata as Python writes it. Full
marks are correct, less is wrong; what a scorer cannot handle is undecided.
"""

import ast
import json
import re
import sys
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from typing import Any

from r1data.errors import CheckFailed
from r1data.rewards.format import answer_text
from r1data.rewards.score import ProgramFacts, RuleVerdict

LONGEST = 4_000
# Scorers that `eval` the answer read it as a literal instead; those that hand it to sympy's parser, which evaluates
# too, read plain arithmetic. Symbolic calculus has no such reader: give these problems the kind "math".
_LITERALS = ("binary_matrix", "n_queens", "spiral_matrix", "string_insertion")
_ARITHMETIC = ("countdown", "puzzle24")
REFUSED = ("intermediate_integration", "polynomial_multiplication", "simple_integration")
FAULTS = (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, SyntaxError, RecursionError, MemoryError)
_SUM = re.compile(r"[\d\s.+\-*/()]+")


def logic_verdict(completion: str, finish_reason: str, gold: str | None) -> RuleVerdict:
    """The scorer's word on one answer; its partial credit is kept as `program.share`."""
    if not gold:
        return RuleVerdict("undecided", "no_gold", None, "none")
    try:
        task, entry = read_logic(gold)
    except FAULTS:
        return RuleVerdict("undecided", "unparseable_gold", None, "none")
    answer, how = answer_text(completion)
    if answer is None:
        return RuleVerdict("wrong", "truncated" if finish_reason != "stop" else how, None, "extraction")
    if len(answer) > LONGEST:
        return RuleVerdict("wrong", "too_long", answer, "scorer")
    try:
        score = float(scorer(task)(answer, entry))
    except FAULTS as e:
        return RuleVerdict("undecided", f"scorer_{type(e).__name__}", answer, "scorer")
    return RuleVerdict("correct" if score >= 1.0 else "wrong", "", answer, "scorer", ProgramFacts(share=score))


def read_logic(gold: str) -> tuple[str, dict[str, Any]]:
    """The task and the entry of a gold text; raises one of `FAULTS`."""
    told = json.loads(gold)
    entry: dict[str, Any] = ast.literal_eval(told["entry"])
    return told["task"], entry


@lru_cache(maxsize=256)
def scorer(task: str) -> Callable[[str, dict[str, Any]], float]:
    """reasoning-gym's scorer of a task; raises `CheckFailed` for unknown ones and those that cannot be made safe."""
    if task in REFUSED:
        raise CheckFailed(f"task {task}: its scorer evaluates what a model wrote", 'give the source kind = "math"')
    from reasoning_gym.factory import DATASETS, get_score_answer_fn

    if task not in DATASETS:
        raise CheckFailed(f"no task {task!r} in reasoning-gym", "see its list of tasks")
    module: Any = sys.modules[DATASETS[task][0].__module__]
    if task in _LITERALS:
        module.eval = ast.literal_eval
    if task in _ARITHMETIC:
        module.parse_expr = arithmetic
    found: Callable[[str, dict[str, Any]], float] = get_score_answer_fn(task)
    return found


def arithmetic(text: str) -> Fraction:
    """The exact value of digits with + - * / and brackets; raises `ValueError` for anything else."""
    if not _SUM.fullmatch(text) or "**" in text or "//" in text:
        raise ValueError("not plain arithmetic")
    return _value(ast.parse(text.strip(), mode="eval").body)


def _value(node: ast.expr) -> Fraction:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return Fraction(str(node.value))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        return -_value(node.operand) if isinstance(node.op, ast.USub) else _value(node.operand)
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left), _value(node.right)
        if isinstance(node.op, ast.Add | ast.Sub):
            return left + right if isinstance(node.op, ast.Add) else left - right
        if isinstance(node.op, ast.Mult | ast.Div):
            return left * right if isinstance(node.op, ast.Mult) else left / right
    raise ValueError("not plain arithmetic")
