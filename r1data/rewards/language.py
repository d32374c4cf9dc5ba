"""Language of a text in units: a word of two letters or more is one, a character of a script without spaces is one.

The language-consistency reward is Num(target)/Num(all) over the thought (paper Eq. 7), which leaves words and languages
undefined: `r1data.rewards.tokens` and `windows` define them. None without anything to count: a null measure is never 1.
One text and a million go through the same kernels, so that the reward and the gate are one function.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from r1data.languages import code_of
from r1data.rewards.scripts import HAN, HANGUL, KANA, LANGUAGE_OF, LATIN, LETTERS

Integers = np.ndarray[Any, np.dtype[np.int64]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]
SCRIPTS = {"latin": LATIN, "han": HAN, "kana": KANA, "hangul": HANGUL, "cyrillic": LETTERS + 1}
CHUNK = 1 << 22  # bytes of text at a time: what bounds memory


@dataclass(frozen=True)
class LanguageUnits:
    """Units by language (ISO 639-1 codes, `und`) and by script, and how often the language changes between two units.

    `longest_foreign` is the longest run of units that are not in the language asked for (all, where that is not known);
    `code` and `maths` are characters that were removed before.
    """

    by_language: dict[str, int]
    by_script: dict[str, int]
    switches: int
    longest_foreign: int
    code: int
    maths: int

    @property
    def en(self) -> int:
        """English units."""
        return self.by_language.get("en", 0)

    @property
    def zh(self) -> int:
        """Chinese units."""
        return self.by_language.get("zh", 0)

    @property
    def other(self) -> int:
        """Units of every other language."""
        return self.total - self.en - self.zh

    @property
    def total(self) -> int:
        """All units."""
        return sum(self.by_language.values())

    def consistency(self, language: str | None) -> float | None:
        """Share of the units that are in a language; None without units or for a language that is not known."""
        code = code_of(language)
        return self.by_language.get(code, 0) / self.total if self.total and code else None


def language_units(text: str, language: str | None = "en") -> LanguageUnits:
    """Count units after removing code, LaTeX, URLs and tags."""
    return next(units_of([text], [language]))


def language_consistency(text: str | None, language: str | None) -> float | None:
    """Share of the units that are in the language (as `r1data.languages` knows it); None without units, or unknown."""
    return language_units(text or "", language).consistency(language)


def units_of(texts: Sequence[str], languages: Sequence[str | None]) -> Iterator[LanguageUnits]:
    """The units of each text, beside the language that it should be in."""
    first = 0
    while first < len(texts):
        last, size = first, 0
        while last < len(texts) and size < CHUNK:
            size += len(texts[last])
            last += 1
        counted = counts(*encoded(texts[first:last]), languages[first:last])
        yield from (counted.row(i) for i in range(last - first))
        first = last


def encoded(texts: Sequence[str]) -> tuple[Integers, Bytes]:
    """Texts as Arrow has them: offsets and UTF-8; lone surrogates stay as bytes that are no letter."""
    raw = [t.encode("utf-8", "surrogatepass") for t in texts]
    offsets = np.zeros(len(raw) + 1, np.int64)
    np.cumsum([len(r) for r in raw], out=offsets[1:])
    return offsets, np.frombuffer(b"".join(raw), np.uint8)


@dataclass(frozen=True)
class Counts:
    """Units of many texts: languages by name, and a row a text of each matrix."""

    names: list[str]
    units: Integers
    by_script: Integers
    runs: Integers
    removed: Integers

    def row(self, i: int) -> LanguageUnits:
        """One text's."""
        units = {self.names[k]: int(self.units[i, k]) for k in np.flatnonzero(self.units[i]).tolist()}
        scripts = {name: int(self.by_script[i, code]) for name, code in SCRIPTS.items()}
        scripts["other"] = int(self.by_script[i].sum()) - sum(scripts.values())
        switches, longest = self.runs[i].tolist()
        code, maths = self.removed[i].tolist()
        return LanguageUnits(units, scripts, switches, longest, code, maths)


def counts(offsets: Integers, text: Bytes, languages: Sequence[str | None]) -> Counts:
    """Units of the texts in Arrow's buffers (offsets from 0), beside the language that each should be in."""
    # numba takes a second to import
    from r1data.rewards.prose import prose

    return counts_of(*prose(offsets, text), languages)


def counts_of(kept: Integers, plain: Bytes, removed: Integers, languages: Sequence[str | None]) -> Counts:
    """The same of texts of which `r1data.rewards.prose` has left the prose."""
    from r1data.rewards.tokens import tokens
    from r1data.rewards.windows import WINDOWS, coded, fold

    rows = len(kept) - 1
    starts, found = tokens(kept, plain)
    codes, windows = coded(starts, found, plain)
    ids: dict[str, int] = {"en": 0}
    meant = np.full(WINDOWS + len(windows[1]), -1, np.int32)
    for script, name in LANGUAGE_OF.items():
        meant[script] = ids.setdefault(name, len(ids))
    default = np.zeros(rows, np.int32)
    _identify(windows[0], windows[1], meant[WINDOWS:], default, ids)
    asked = [code_of(name) for name in languages]
    target = np.array([ids.setdefault(code, len(ids)) if code else -1 for code in asked], np.int32)
    units, by_script = np.zeros((rows, len(ids)), np.int64), np.zeros((rows, 64), np.int64)
    runs = np.zeros((rows, 2), np.int64)
    fold(starts, found[0], codes, meant, default, target, units, by_script, runs)
    return Counts(list(ids), units, by_script, runs, removed)


def _identify(text: Bytes, spans: Integers, meant: Any, default: Any, ids: dict[str, int]) -> None:
    """Fill the language of each window, and by row the one that most identified words have."""
    if not len(spans):
        return
    from pycld2 import detect

    raw = text[: spans[-1, 2]].tobytes()
    words: dict[int, Counter[int]] = {}
    for i, (row, first, last, number) in enumerate(spans.tolist()):
        reliable, _, found = detect(raw[first:last], isPlainText=True)
        name = found[0][1]
        if reliable and name != "un":
            meant[i] = ids.setdefault(name, len(ids))
            words.setdefault(row, Counter())[meant[i]] += number
    for row, seen in words.items():
        default[row] = seen.most_common(1)[0][0]
