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
# words that make another number of it, in a way that is left to algebra
_CHANGES = {"factorial", "half", "halves", "squared", "cubed", "root", "power"} | {
    f"{part}{end}"
    for part in ("third", "quarter", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "hundredth")
    for end in ("", "s")
}
_POWERS = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_POWERS |= {"百万": 6, "千万": 7, "百": 2, "千": 3, "万": 4, "亿": 8}  # the longer words first
_MULTIPLIERS = {"percent": Fraction(1, 100), "dozen": Fraction(12)} | {k: Fraction(10**v) for k, v in _POWERS.items()}
_AFTER = re.compile(r"(.*?[\d}%.])(\s*)([A-Za-z°一-鿿][A-Za-z°一-鿿 ]*)\.?", re.DOTALL)
_COMPOUND = re.compile(r"(.*?[\d}%.])(\s*)([A-Za-z]+(?:\^\{?\d\}?)?(?:/[A-Za-z]+(?:\^\{?\d\}?)?)*)")
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


def unit_of(text: str) -> tuple[str, Unit | None, Fraction]:
    """(number, unit, factor) of an answer; the text as it is where what follows the number changes it or is no unit.

    One or two Latin letters beside the number are a variable unless a blank stands between (`5m`, `2pi`, `3x`). The
    factor is that of `3 million` or `3万元`.
    """
    compound = _COMPOUND.fullmatch(text)
    if compound and compound[2] and not compound[3].isalpha():  # 5 cm^2, 60 km/h
        if all(part.lower() in _units() for part in re.findall("[A-Za-z]+", compound[3])):
            return compound[1], Unit(re.sub("[{}]", "", compound[3])), Fraction(1)
        return text, None, Fraction(1)
    found = _AFTER.fullmatch(text)
    if not found:
        return text, None, Fraction(1)
    number, gap, word = found[1], found[2], found[3].strip()
    if _units().get(word.lower()) is None:
        factor, word = _multiplied(word)
        again, word = _multiplied(word)
        factor *= again
        if factor != 1 and not word:
            return number, None, factor
    else:
        factor = Fraction(1)
    known = _units().get(word.lower())
    if known and (gap or len(word) > 2 or not word.isascii()):
        return number, Unit("", known.dimension, known.factor), factor
    words = word.lower().split()
    if (not gap and word.isascii()) or len(words) > _LONGEST_WORDS or (_MATHS | _CHANGES) & set(words):
        return text, None, Fraction(1)
    if word.isascii() and any(len(w) < 3 for w in words):
        return text, None, Fraction(1)
    return number, Unit(word.lower().removesuffix("s")), factor


def _multiplied(word: str) -> tuple[Fraction, str]:
    """What a word begins with that multiplies the number, and the rest of it."""
    lower = word.lower()
    for name, factor in _MULTIPLIERS.items():
        for spelled in (f"{name}s", name) if name.isascii() else (name,):
            rest = lower.removeprefix(spelled)
            if rest != lower and (not name.isascii() or not rest or rest[0] == " "):
                return factor, word[len(spelled) :].strip()
    return Fraction(1), word
