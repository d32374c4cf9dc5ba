"""Units after a number: which ones are known, what they are worth, and which words are taken for one."""

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cache


@dataclass(frozen=True)
class Unit:
    """A unit as a dimension and a factor to its base; a word that is no known unit has no dimension."""

    name: str
    dimension: str = ""
    factor: Fraction = Fraction(1)


_KNOWN = {
    "length": {
        "1": "m meter metre 米",
        "1000": "km kilometer kilometre 千米 公里",
        "1/100": "cm centimeter centimetre 厘米",
        "1/1000": "mm millimeter millimetre 毫米",
        "127/5000": "inch",
        "381/1250": "ft foot feet",
        "201168/125": "mi mile",
    },
    "mass": {"1": "g gram 克", "1000": "kg kilogram 千克 公斤", "1/1000": "mg milligram 毫克"},
    "time": {
        "1": "s sec second 秒",
        "60": "min minute 分钟",
        "3600": "h hr hour 小时",
        "86400": "day 天 日",
        "604800": "week 周 星期",
    },
    "volume": {"1": "l liter litre 升", "1/1000": "ml milliliter millilitre 毫升"},
    "dollars": {"1": "dollar usd 美元", "1/100": "cent 美分"},
    "yuan": {"1": "yuan rmb 元 块", "1/100": "fen 分"},
    "angle": {"1": "° degree deg 度"},
    "people": {"1": "person people 人 个人"},
}
# words that stand after a number and are no unit
_MATHS = {"pi", "sqrt", "log", "ln", "sin", "cos", "tan", "cot", "exp", "mod", "and", "or", "infty", "inf"}
_AFTER = re.compile(r"(.*?[\d}%.])(\s*)([A-Za-z°一-鿿][A-Za-z°一-鿿 ]*)\.?", re.DOTALL)
_LONGEST_WORDS = 3


@cache
def _units() -> dict[str, Unit]:
    found = {}
    for dimension, scale in _KNOWN.items():
        for factor, names in scale.items():
            for name in names.split():
                for spelled in (name, f"{name}s", f"{name}es") if name.isascii() else (name,):
                    found[spelled] = Unit(name.split()[0], dimension, Fraction(factor))
    return found


def unit_of(text: str) -> tuple[str, Unit | None]:
    """(number, unit) of an answer; the text as it is where nothing after the number is a unit.

    One or two Latin letters beside the number are a variable unless a blank stands between (`5m`, `2pi`, `3x`).
    """
    found = _AFTER.fullmatch(text)
    if not found:
        return text, None
    number, gap, word = found[1], found[2], found[3].strip()
    known = _units().get(word.lower())
    if known and (gap or len(word) > 2 or not word.isascii()):
        return number, Unit("", known.dimension, known.factor)
    words = word.lower().split()
    if (not gap and word.isascii()) or len(words) > _LONGEST_WORDS or _MATHS & set(words):
        return text, None
    if word.isascii() and any(len(w) < 3 for w in words):
        return text, None
    return number, Unit(word.lower().removesuffix("s"))
