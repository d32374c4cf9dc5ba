"""reasoning-gym's own scorers for its tasks, made safe; runs in a worker that can be killed.

Those that evaluate what a model wrote are given a reader. Those that accept wrong answers are refused: their problems
have one right answer, which kind `math` compares.
"""

import ast
import json
import math
import re
import sys
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from typing import Any

from r1data.errors import CheckFailed

# Scorers that `eval` the answer read it as a literal instead; those that hand it to sympy's parser, which evaluates
# too, read plain arithmetic.
_LITERALS = ("binary_matrix", "n_queens", "spiral_matrix", "string_insertion")
_ARITHMETIC = ("countdown", "puzzle24")
REFUSED = {
    **dict.fromkeys(
        ("intermediate_integration", "polynomial_multiplication", "simple_integration"), "evaluates what a model wrote"
    ),
    "calendar_arithmetic": "gives more than full marks to wrong days",
    "coin_flip": "takes a prefix of the number for the number",
    "complex_arithmetic": "takes nan for the number",
    "game_of_life_halting": "takes any text for true",
    "gsm_symbolic": "takes the first number and loses its sign",
    "number_sorting": "takes neighbours of the numbers and nan",
    "polynomial_equations": "takes any text where there is no solution",
}
FAULTS = (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, SyntaxError, RecursionError)
_NO_NUMBER = re.compile(r"\b(?:nan|inf(?:inity)?)\b", re.IGNORECASE)
_SUM = re.compile(r"[\d\s.+\-*/()]+")


def score(gold: str, answer: str) -> str:
    """The score from 0 to 1 as text; `unreadable` where it is the answer that the scorer cannot handle, else `gold`."""
    try:
        task, entry = read_logic(gold)
        scored = scorer(task)
    except (*FAULTS, CheckFailed):
        return "gold"
    try:
        found = float(scored(answer, entry)) if not _NO_NUMBER.search(answer) else 0.0
    except FAULTS:
        return "unreadable"
    return repr(found) if math.isfinite(found) and 0.0 <= found <= 1.0 else "unreadable"


def warm_up() -> None:
    """Pay for the import before any answer waits."""
    scorer("chain_sum")


def read_logic(gold: str) -> tuple[str, dict[str, Any]]:
    """The task and the entry of a gold text; raises one of `FAULTS`."""
    told = json.loads(gold)
    entry: dict[str, Any] = ast.literal_eval(told["entry"])
    return told["task"], entry


@lru_cache(maxsize=256)
def scorer(task: str) -> Callable[[str, dict[str, Any]], float]:
    """reasoning-gym's scorer of a task; raises `CheckFailed` for unknown ones and those that are refused."""
    if task in REFUSED:
        raise CheckFailed(f"task {task}: its scorer {REFUSED[task]}", 'give the source kind = "math"')
    from reasoning_gym.factory import DATASETS, get_score_answer_fn

    if task not in DATASETS:
        raise CheckFailed(f"no task {task!r} in reasoning-gym", "see its list of tasks")
    module: Any = sys.modules[DATASETS[task][0].__module__]
    if task in _LITERALS:
        module.eval = ast.literal_eval
    if task in _ARITHMETIC:
        module.parse_expr = arithmetic
    found: Callable[[str, dict[str, Any]], float] = get_score_answer_fn(task)
    return _of_24(found) if task == "puzzle24" else found


def arithmetic(text: str) -> Fraction:
    """The exact value of digits with + - * / and brackets; raises `ValueError` for anything else."""
    if not _SUM.fullmatch(text) or "**" in text or "//" in text:
        raise ValueError("not plain arithmetic")
    return _value(ast.parse(text.strip(), mode="eval").body)


def _of_24(found: Callable[[str, dict[str, Any]], float]) -> Callable[[str, dict[str, Any]], float]:
    """The scorer looks at ranges and rounds down: the numbers must be those of the puzzle, and the value whole."""

    def scored(answer: str, entry: dict[str, Any]) -> float:
        used = sorted(map(int, re.findall(r"\d+", answer)))
        whole = arithmetic(answer).denominator == 1
        return found(answer, entry) if whole and used == sorted(entry["metadata"]["numbers"]) else 0.0

    return scored


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
