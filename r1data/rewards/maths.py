"""The exact tiers of maths verification: normalised string, then rational arithmetic (numbers, tuples, sets, units).

What they cannot say is `unknown` and goes to the symbolic tier; what they say is exact, nothing is rounded.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Literal

from r1data.rewards.units import Unit, unit_of

Comparison = Literal["equal", "different", "unknown"]
LONGEST = 2_000  # characters; beyond that only equal strings are equal

_REWRITES = tuple(
    (re.compile(pattern), by)
    for pattern, by in (
        (r"\\(?:left|right|bigl?|bigr?|Bigl?|Bigr?|displaystyle|limits)(?![a-zA-Z])", ""),
        (r"\\(?:text|mathrm|mathbf|textbf|mathit|mathsf|operatorname)\s*\{([^{}]*)\}", r" \1 "),
        (r"\\[,;:!]|\\quad|\\qquad|\\ |~|\$|\\\$", " "),
        (r"\{,\}", ","),
        (r"\\[dtc]frac", r"\\frac"),
        (r"\\frac\s*(\d)\s*(\d)", r"\\frac{\1}{\2}"),
        (r"\\(?:cdot|times)(?![a-zA-Z])|×", "*"),
        (r"\^\s*(?:\{\s*\\circ\s*\}|\\circ)", "°"),
        (r"\\langle", "("),
        (r"\\rangle", ")"),
        (r"\\%", "%"),
        (r"−", "-"),
        (r"\s+", " "),
    )
)
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_SIGNS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺]+"), lambda m: f"^{{{m[0].translate(_RAISED)}}}"),
    (re.compile("[¼-¾⅐-⅞]"), lambda m: " " + unicodedata.normalize("NFKC", m[0]).replace("⁄", "/")),
    (re.compile(r"√\s*(\d+|[a-zA-Z]|\([^()]*\))"), lambda m: rf"\sqrt{{{m[1]}}}"),
    (re.compile(r"^\s*[€£¥￥]\s*(?=\d)"), lambda m: ""),
    (re.compile(r"^\s*(\*\*|__)(.*)\1\s*$", re.DOTALL), lambda m: m[2]),
)
_EQUATION = re.compile(r"([^=]+)=([^=]+)")
_PREFIX = re.compile(r"(?:the (?:final )?answer is|答案(?:是|为)?|答|answer)\s*:?\s*", re.IGNORECASE)
_ASSIGNED = re.compile(r"[a-zA-Z](?:\([a-zA-Z]\))?\s*=\s*(.+)", re.DOTALL)
_BOXED = re.compile(r"\\boxed\s*\{(.*)\}", re.DOTALL)
_DECIMAL = r"(?:\d+(?:\.\d*)?|\.\d+)"
_SIMPLE = re.compile(r"[-+]?[0-9]{1,18}(?:\.[0-9]{1,18})?")
_NUMBER = re.compile(rf"({_DECIMAL})(?:[eE]([-+]?\d{{1,3}})|\*10\^(?:\{{([-+]?\d{{1,3}})\}}|([-+]?\d{{1,3}})))?")
_POWER = re.compile(r"10\^(?:\{([-+]?\d{1,3})\}|(\d{1,3}))")
_RATIO = re.compile(r"([-+]?[^/]+)/([^/]+)")
_FRACTION = re.compile(r"(\d*)\\frac\{([^{}]+)\}\{([^{}]+)\}")
_MIXED = re.compile(r"(\d+) (\d+)/(\d+)")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_DECIMAL_COMMA = re.compile(r"\d+,\d+")
_SEQUENCE = re.compile(r"(\(|\[|\\?\{)(.+?)(\)|\]|\\?\})", re.DOTALL)


@dataclass(frozen=True)
class Answer:
    """An answer as read: its text, and its exact value where it is a number (with unit) or a sequence of numbers."""

    text: str
    value: Fraction | None = None
    percent: bool = False
    unit: Unit | None = None
    brackets: str = ""
    items: tuple[Fraction, ...] = ()


def normalised(text: str) -> str:
    """One spelling of an answer: width, box, dollar signs, LaTeX spacing and text, prefixes and final stop removed."""
    text = text.strip()
    if _SIMPLE.fullmatch(text):  # most answers are: nothing below would change them
        return text
    for pattern, rewritten in _SIGNS:  # before the next line makes plain digits of them
        text = pattern.sub(rewritten, text)
    text = unicodedata.normalize("NFKC", text).strip()
    for pattern, by in _REWRITES:
        text = pattern.sub(by, text)
    boxed = _BOXED.fullmatch(text.strip())
    text = boxed[1] if boxed else text
    return _PREFIX.sub("", text.strip(), count=1).strip().rstrip(".。").strip()


@lru_cache(maxsize=8192)
def read(text: str) -> Answer:
    """What an answer says, as far as exact arithmetic can read it."""
    spelled = normalised(text)
    if _SIMPLE.fullmatch(spelled):
        return Answer(spelled, Fraction(spelled))
    assigned = _ASSIGNED.fullmatch(spelled)
    bare = assigned[1].strip() if assigned else spelled
    sequence = _items(bare)
    if sequence:
        return Answer(bare, brackets=sequence[0], items=sequence[1])
    number, unit, factor = unit_of(bare)
    percent = number.endswith("%")
    value = _number(number.removesuffix("%").strip())
    return Answer(bare) if value is None else Answer(bare, value * factor, percent, unit)


def rational(text: str) -> Fraction | None:
    """The exact value of an answer that is a number, its unit left out; a percentage is a hundredth."""
    found = read(text) if len(text) <= LONGEST else Answer(text)
    return found.value / 100 if found.percent and found.value is not None else found.value


def compare(answer: str, gold: str) -> Comparison:
    """Whether two answers are the same; `unknown` where neither exact tier can tell."""
    if max(len(answer), len(gold)) > LONGEST:
        return "equal" if answer.strip() == gold.strip() else "unknown"
    a, g = read(answer), read(gold)
    if a.text and _folded(a.text) == _folded(g.text):
        return "equal"
    if a.value is not None and g.value is not None:
        return _numbers(a, g)
    if _contradicts(a.text):
        return "different"
    if a.items and g.items and a.brackets == g.brackets:
        same = set(a.items) == set(g.items) if a.brackets == "{}" else a.items == g.items
        return "equal" if same else "different"
    return "unknown"


def _contradicts(text: str) -> bool:
    """Whether an answer says that a number equals another one."""
    sides = _EQUATION.fullmatch(text)
    values = [_number(side.strip()) for side in sides.groups()] if sides else []
    return len(values) == 2 and None not in values and values[0] != values[1]


def unknown_units(answer: str, gold: str) -> bool:
    """Whether both are numbers with units, so that no algebra can tell what exact arithmetic could not."""
    return max(len(answer), len(gold)) <= LONGEST and read(answer).unit is not None and read(gold).unit is not None


def _folded(text: str) -> str:
    """Without blanks; words in lower case, variables as they are."""
    text = text.replace(" ", "")
    return text.lower() if text.isalpha() else text


def _numbers(a: Answer, g: Answer) -> Comparison:
    """Numbers with units: a unit that only one side has is left out, different ones are converted."""
    assert a.value is not None, "a number"
    assert g.value is not None, "a number"
    if a.unit and g.unit and a.unit != g.unit:
        if not a.unit.dimension or not g.unit.dimension:
            return "unknown" if a.value == g.value else "different"
        same = a.unit.dimension == g.unit.dimension and a.value * a.unit.factor == g.value * g.unit.factor
        return "equal" if same else "different"
    hundredth = a.percent != g.percent and (a.value / 100 if a.percent else a.value) == (
        g.value / 100 if g.percent else g.value
    )
    return "equal" if a.value == g.value or hundredth else "different"


def _number(text: str) -> Fraction | None:
    """The value of an integer, decimal, fraction, mixed, scientific or grouped number."""
    sign = -1 if text.startswith("-") else 1
    text = text[1:].strip() if text[:1] in "+-" and text else text
    size = _unsigned(text)
    return None if size is None else sign * size


def _unsigned(text: str) -> Fraction | None:
    mixed = _MIXED.fullmatch(text)
    if mixed:
        return None if not int(mixed[3]) else int(mixed[1]) + Fraction(int(mixed[2]), int(mixed[3]))
    if ", " in text:  # a list, not a decimal comma
        return None
    text = text.replace(" ", "")
    fraction = _FRACTION.fullmatch(text)
    if fraction:
        part = _ratio(fraction[2], fraction[3])
        return part if part is None or not fraction[1] else part + int(fraction[1])
    ratio = _RATIO.fullmatch(text)
    return _ratio(ratio[1], ratio[2]) if ratio else _decimal(text)


def _ratio(above: str, below: str) -> Fraction | None:
    x, y = _number_without_ratio(above), _number_without_ratio(below)
    return None if x is None or not y else x / y


def _number_without_ratio(text: str) -> Fraction | None:
    sign = -1 if text.startswith("-") else 1
    size = _decimal(text.removeprefix("-").removeprefix("+"))
    return None if size is None else sign * size


def _decimal(text: str) -> Fraction | None:
    if _THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    elif _DECIMAL_COMMA.fullmatch(text):
        text = text.replace(",", ".")
    power = _POWER.fullmatch(text)
    if power:
        return Fraction(10) ** int(power[1] or power[2])
    found = _NUMBER.fullmatch(text)
    if not found:
        return None
    exponent = found[2] or found[3] or found[4]
    return Fraction(found[1]) * (Fraction(10) ** int(exponent) if exponent else 1)


def _items(text: str) -> tuple[str, tuple[Fraction, ...]] | None:
    """The brackets and numbers of a tuple, interval or set of two or more numbers."""
    found = _SEQUENCE.fullmatch(text)
    if not found or any(c in found[2] for c in "()[]"):
        return None
    numbers = [_number(part.strip()) for part in found[2].split(",")]
    if len(numbers) < 2 or None in numbers:
        return None
    brackets = (found[1] + found[3]).replace("\\", "")
    return brackets, tuple(n for n in numbers if n is not None)
