"""Language of a text in units: a Latin word of two letters or more is one, a Han character is one.

The language-consistency reward is Num(target)/Num(all) over the thought (paper Eq. 7); None without anything to count.
"""

import re
from dataclasses import dataclass
from itertools import pairwise

# chained, not one alternation: each pattern keeps its fast literal prefix
_STRIP = tuple(
    re.compile(p, re.DOTALL)
    for p in (
        r"```.*?(?:```|\Z)",
        r"`[^`\n]*`",
        r"\$\$.*?\$\$",
        r"\$[^$\n]*\$",
        r"\\[a-zA-Z]+",
        r"https?://\S+",
        r"<[^<>]*>",
    )
)
_UNIT = re.compile(r"([A-Za-zÀ-ɏ]{2,})|([一-鿿㐀-䶿])|([぀-ヿ가-힯Ѐ-ӿ؀-ۿ])")


@dataclass(frozen=True)
class LanguageUnits:
    """Units by language and how often the language changes from one unit to the next."""

    en: int
    zh: int
    other: int
    switches: int

    @property
    def total(self) -> int:
        """All units."""
        return self.en + self.zh + self.other


def language_units(text: str) -> LanguageUnits:
    """Count units after removing code, LaTeX, URLs and tags."""
    for pattern in _STRIP:
        text = pattern.sub(" ", text)
    kinds = [m.lastindex or 0 for m in _UNIT.finditer(text)]
    switches = sum(a != b for a, b in pairwise(kinds))
    return LanguageUnits(kinds.count(1), kinds.count(2), kinds.count(3), switches)


def language_consistency(text: str | None, language: str) -> float | None:
    """Share of the units that are in the language (`en` or `zh`); None without units: a null measure is never 1."""
    units = language_units(text or "")
    if units.total == 0:
        return None
    return {"en": units.en, "zh": units.zh}.get(language, units.other) / units.total
