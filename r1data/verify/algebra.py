"""One symbolic comparison by math-verify, made safe against its known faults; runs in a worker that can be killed.

Its own time-outs are off (they neither work in threads nor tell failure from "wrong"). Gold comes first: it is not
symmetric. After its "equal" two numbers are compared again, relatively: it rounds to six digits, so that any two
numbers below 5e-7 are equal to it. Nothing parsed is ever printed or sent: `str()` of it can hang.
"""

import logging
import re
from functools import lru_cache
from typing import Any, Literal

Outcome = Literal["equal", "different", "unparseable_gold", "unparseable_answer", "timeout", "error"]
RELATIVE = 1e-6
DIGITS = 30
FAULTS = (
    *(ValueError, TypeError, ArithmeticError, RecursionError, MemoryError, AttributeError, NotImplementedError),
    *(KeyError, IndexError, AssertionError, SyntaxError),
)
_REWRITES = tuple(
    (re.compile(pattern), by)
    for pattern, by in (
        (r"\\langle", "("),
        (r"\\rangle", ")"),
        (r"(?<![\\a-zA-Z])(pi|sqrt|ln|log|sin|cos|tan)(?![a-zA-Z])", r"\\\1"),
        (r"\\sqrt\s*\(([^()]*)\)", r"\\sqrt{\1}"),
        (r"(?<=\d)\s*\*\s*|(?<!\*)\*(?!\*)", r" \\cdot "),
        (r"\\log(?![a-zA-Z_])", r"\\ln"),
    )
)
_DEGREES = re.compile(r"\s*(?:\^\s*(?:\{\s*\\circ\s*\}|\\circ)|°)")
_RADIANS = re.compile(r"\s*(?:\\text\{\s*rad\s*\}|\\mathrm\{\s*rad\s*\}|rad)\s*$")


def outcome(gold: str, answer: str) -> Outcome:
    """Whether an answer is the gold one, or why that could not be said."""
    from math_verify import verify

    angles = "pi" in gold + answer
    try:
        wanted = _parsed(_spelled(gold, angles))
        if not wanted:
            return "unparseable_gold"
        found = _parse(_spelled(answer, angles))
        if not found:
            return "unparseable_answer"
        if _apart(wanted[0], found[0]):
            return "different"
        if not verify(list(wanted), found, timeout_seconds=None, raise_on_error=True):
            return "different"
        return "equal" if _close(wanted[0], found[0]) else "different"
    except FAULTS:
        return "error"


def peer_outcome(gold: str, text: str) -> Outcome:
    """math-verify alone, its own reading of a whole answer text: the second method of an audit."""
    from math_verify import parse, verify

    try:
        wanted = parse(f"${gold}$", parsing_timeout=None)
        found = parse(text, parsing_timeout=None)
        if not wanted or not found:
            return "unparseable_answer" if wanted else "unparseable_gold"
        same = verify(wanted, found, timeout_seconds=None, raise_on_error=True)
    except FAULTS:
        return "error"
    return "equal" if same else "different"


def warm_up() -> None:
    """Pay for the imports and the first parses before any answer waits."""
    logging.disable(logging.CRITICAL)
    for gold, answer in ((r"\frac{1}{2}", "x+1"), (r"\{1,2\}", "(1,2)"), (r"\sqrt{8}", r"2\sqrt{2}"), ("x=1", "[0,1)")):
        outcome(gold, answer)


def _spelled(text: str, angles: bool) -> str:
    """The same expression as math-verify reads it: LaTeX names, natural logarithm, degrees beside radians converted."""
    if angles:
        text = _RADIANS.sub("", _DEGREES.sub(r" \\cdot \\pi / 180", text))
    for pattern, by in _REWRITES:
        text = pattern.sub(by, text)
    return text


@lru_cache(maxsize=1024)
def _parsed(gold: str) -> tuple[Any, ...]:
    """A gold answer, parsed once for all answers to it."""
    return tuple(_parse(gold))


def _parse(text: str) -> list[Any]:
    from math_verify import parse

    found: list[Any] = parse(f"${text}$", parsing_timeout=None) or parse(text, parsing_timeout=None)
    return found


def _apart(wanted: Any, found: Any) -> bool:
    """Whether two expressions in the same variables differ in value somewhere: a hundred times cheaper than to ask."""
    from sympy import Expr

    if not (isinstance(wanted, Expr) and isinstance(found, Expr) and wanted.free_symbols == found.free_symbols):
        return False
    place = {symbol: (2 * i + 3) / 7 for i, symbol in enumerate(sorted(wanted.free_symbols, key=str))}
    x, y = wanted.evalf(subs=place), found.evalf(subs=place)
    if not (x.is_Float and y.is_Float):
        return False
    return bool(abs(x - y) > RELATIVE * max(abs(x), abs(y)))


def _close(wanted: Any, found: Any) -> bool:
    """False only for two numbers that differ relatively."""
    if not (getattr(wanted, "is_number", False) and getattr(found, "is_number", False)):
        return True
    x, y = wanted.evalf(DIGITS), found.evalf(DIGITS)
    if not (x.is_Number and y.is_Number and x.is_finite and y.is_finite):
        return True
    return bool(abs(x - y) <= RELATIVE * max(abs(x), abs(y)))
