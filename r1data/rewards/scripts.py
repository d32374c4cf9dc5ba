"""What every code point is to the text measures: one byte a code point, from Unicode's own categories and names.

Classes below `SPACED` are letters; those from `UNSPACED` on are written without spaces: one character, one unit.
"""

import functools
import unicodedata
from typing import Any

import numpy as np

NOTHING, SPACE, SYMBOL, BREAK, OPEN, CLOSE, DIGIT, UNDERSCORE, MARK = range(9)
LETTERS = 16  # from here on: letters, by script
LATIN, CYRILLIC, ARABIC, GREEK, HEBREW, DEVANAGARI, HANGUL, ALPHABET = range(LETTERS, LETTERS + 8)
UNSPACED = 32  # from here on: scripts without spaces between words
HAN, KANA, THAI, SYLLABARY = range(UNSPACED, UNSPACED + 4)

# the language that a script stands for where nothing finer is known; `und` is ISO 639's undetermined
LANGUAGE_OF = {
    LATIN: "en",
    CYRILLIC: "ru",
    ARABIC: "ar",
    GREEK: "el",
    HEBREW: "he",
    DEVANAGARI: "hi",
    HANGUL: "ko",
    ALPHABET: "und",
    HAN: "zh",
    KANA: "ja",
    THAI: "th",
    SYLLABARY: "und",
}
_NAMED = {
    "LATIN": LATIN,
    "CYRILLIC": CYRILLIC,
    "ARABIC": ARABIC,
    "GREEK": GREEK,
    "HEBREW": HEBREW,
    "DEVANAGARI": DEVANAGARI,
    "HANGUL": HANGUL,
    "CJK": HAN,
    "IDEOGRAPHIC": HAN,
    "HIRAGANA": KANA,
    "KATAKANA": KANA,
    "KATAKANA-HIRAGANA": KANA,
    "THAI": THAI,
    "LAO": SYLLABARY,
    "KHMER": SYLLABARY,
    "MYANMAR": SYLLABARY,
    "TIBETAN": SYLLABARY,
    "JAVANESE": SYLLABARY,
    "BALINESE": SYLLABARY,
    "MATHEMATICAL": SYMBOL,
}
# sentence ends, and what sets a clause of another language apart
_BREAKS = '.!?;:\n。！？；：…"«»“”„|*#'
_OPENS, _CLOSES = "([{（「『【《〈", ")]}）」』】》〉"
_HAN = ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x323AF))
LIMIT = 0x323B0  # past the last assigned ideograph


@functools.cache
def classes() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The class of each code point below `LIMIT`."""
    table = np.full(LIMIT, NOTHING, np.uint8)
    table[0xAC00:0xD7A4] = HANGUL
    for first, last in _HAN:
        table[first : last + 1] = HAN
    for code in np.flatnonzero(table == NOTHING).tolist():
        table[code] = _class(chr(code))
    for marks, kind in ((_BREAKS, BREAK), (_OPENS, OPEN), (_CLOSES, CLOSE), ("_", UNDERSCORE)):
        table[[ord(c) for c in marks]] = kind
    table.flags.writeable = False
    return table


def _class(character: str) -> int:
    category = unicodedata.category(character)
    if category in ("Cc", "Zs", "Zl", "Zp"):
        return SPACE
    if category[0] == "L":
        words = unicodedata.name(character, "UNNAMED").split()
        script = _NAMED.get(words[words[0] in ("FULLWIDTH", "HALFWIDTH")], ALPHABET)
        return MARK if category == "Lm" and script == ALPHABET else script
    return {"Mn": MARK, "Mc": MARK, "Nd": DIGIT}.get(category, SYMBOL if category[0] in "PSN" else NOTHING)
