"""The exact tiers of maths verification: normalised string, rational arithmetic. What they cannot say is `unknown`."""

import re
import unicodedata
from fractions import Fraction
from typing import Literal

Comparison = Literal["equal", "different", "unknown"]
LONGEST = 2_000  # characters; beyond that no exact arithmetic is tried

_FRACTION = re.compile(r"\\[dt]?frac\{(-?\d+)\}\{(\d+)\}")
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{1,3})?")
_MIXED = re.compile(r"([-+]?)(\d+) (\d+)/(\d+)")
_THOUSANDS = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_NOISE = re.compile(r"\\left|\\right|\\!|\\,|\\;|\\\s|\$")


def normalised(text: str) -> str:
    """One spelling of an answer: width, dollar signs, LaTeX spacing, \\text{}, outer blanks and final stop removed."""
    text = unicodedata.normalize("NFKC", text).strip()
    text = re.sub(r"\\(?:text|mathrm|mathbf)\{([^{}]*)\}", r"\1", text)
    text = _NOISE.sub("", text)
    return re.sub(r"\s+", " ", text).strip().rstrip(".").strip()


def rational(text: str) -> Fraction | None:
    """The exact value of an integer, decimal, fraction, mixed number, percentage or scientific number; else None."""
    text = _FRACTION.sub(r"\1/\2", normalised(text)).replace("−", "-")
    if len(text) > LONGEST:
        return None
    percent = text.endswith(("%", r"\%"))
    text = text.removesuffix("%").removesuffix("\\").strip()
    value = _plain(text)
    return value / 100 if percent and value is not None else value


def _plain(text: str) -> Fraction | None:
    if _THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    mixed = _MIXED.fullmatch(text)
    if mixed and int(mixed[4]):
        size = int(mixed[2]) + Fraction(int(mixed[3]), int(mixed[4]))
        return -size if mixed[1] == "-" else size
    above, slash, below = text.replace(" ", "").partition("/")
    if not _NUMBER.fullmatch(above):
        return None
    if not slash:
        return Fraction(above)
    if not _NUMBER.fullmatch(below) or Fraction(below) == 0:
        return None
    return Fraction(above) / Fraction(below)


def compare(answer: str, gold: str) -> Comparison:
    """Whether two answers are the same; `unknown` where neither exact tier can tell."""
    a, g = normalised(answer), normalised(gold)
    if a and a == g:
        return "equal"
    x, y = rational(a), rational(g)
    if x is not None and y is not None:
        return "equal" if x == y else "different"
    return "unknown"
