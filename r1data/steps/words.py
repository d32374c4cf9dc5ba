"""Words of UTF-8 text as 64-bit hashes, in one compiled pass over Arrow's buffers. Loads numba: import it in functions.

A word is a run of letters, digits, marks and underscores, folded: lower case, compatibility forms (full width) plain,
accents and invisible characters ignored. Each character of a script without spaces (Han, kana, Thai, Lao, Khmer,
Burmese, Tibetan) is a word. All else separates: blanks, punctuation, symbols, control characters.
"""

import unicodedata
from dataclasses import dataclass
from functools import cache

import numpy as np
import polars as pl
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

Numbers = NDArray[np.uint64]
Places = NDArray[np.int64]
Bytes = NDArray[np.uint8]
Fold = NDArray[np.uint32]

SEPARATOR, IGNORED, ALONE = 0, 1, 1 << 30
_CODES = 0x33480  # past the last ideograph
_UNSPACED = (
    *((0x0E00, 0x0FFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3005, 0x3007), (0x3041, 0x3096), (0x309D, 0x30FA)),
    *((0x30FC, 0x30FF), (0x31F0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xA9E0, 0xA9FF), (0xAA60, 0xAA7F)),
    *((0xF900, 0xFAFF), (0x20000, _CODES - 1)),
)
_FNV, _OFFSET = np.uint64(1099511628211), np.uint64(14695981039346656037)
_A, _B = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_27, _30, _31 = np.uint64(27), np.uint64(30), np.uint64(31)


@dataclass(frozen=True)
class Buffers:
    """Texts as Arrow holds them: text i is `data[offsets[i]:offsets[i + 1]]`."""

    offsets: Places
    data: Bytes

    @property
    def longest(self) -> int:
        """Most words that one text can have."""
        return int(np.diff(self.offsets).max(initial=0)) // 2 + 2


def buffers(texts: pl.Series) -> Buffers:
    """The buffers of a column of text; null is the empty text, and no row moves."""
    array = texts.cast(pl.String).fill_null("").rechunk().to_arrow().cast(pa.large_string())
    _, offsets, data = array.buffers()
    found = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    return Buffers(found, np.frombuffer(data if data else b"", np.uint8))


@cache
def fold_table() -> Fold:
    """By code point: SEPARATOR, IGNORED, or the folded code point, plus ALONE where it is a word by itself."""
    table = np.zeros(_CODES, np.uint32)
    for first, last in ((0, 0x33FF), (0xA000, 0xABFF), (0xF900, 0x1FFFF)):
        for code in range(first, last + 1):
            table[code] = _folded(chr(code))
    for first, last in ((0x3400, 0x9FFF), (0xAC00, 0xD7A3), (0x20000, _CODES - 1)):
        table[first : last + 1] = np.arange(first, last + 1)
    for first, last in _UNSPACED:
        part = table[first : last + 1]
        part[part > IGNORED] |= ALONE
    return table


def _folded(character: str) -> int:
    """An entry of the table, but for scripts without spaces."""
    plain = unicodedata.normalize("NFKD", character.lower()).lower()
    letters = [c for c in plain if not unicodedata.combining(c) or not _accent(c)]
    category = unicodedata.category(character)
    if category == "Cf" or not letters:
        return IGNORED
    first = letters[0] if len(letters) == 1 else character
    return ord(first) if category[0] in "LMN" or category == "Pc" else SEPARATOR


def _accent(character: str) -> bool:
    return "\u0300" <= character <= "\u036f" or character in "\u3099\u309a"


@njit(cache=True, nogil=True, inline="always")  # type: ignore[untyped-decorator]
def mixed(x: np.uint64) -> np.uint64:
    """A 64-bit number with all its bits stirred (the finaliser of SplitMix64)."""
    x = (x ^ (x >> _30)) * _A
    x = (x ^ (x >> _27)) * _B
    return x ^ (x >> _31)


@njit(cache=True, nogil=True, inline="always")  # type: ignore[untyped-decorator]
def character(data: Bytes, i: int, fold: Fold) -> tuple[int, int]:
    """(entry of the fold table, bytes) of the character at byte i."""
    c = int(data[i])
    if c < 0x80:
        return int(fold[c]), 1
    if c < 0xE0:
        return int(fold[(c & 0x1F) << 6 | data[i + 1] & 0x3F]), 2
    if c < 0xF0:
        return int(fold[(c & 0x0F) << 12 | (data[i + 1] & 0x3F) << 6 | data[i + 2] & 0x3F]), 3
    code = (c & 7) << 18 | (data[i + 1] & 0x3F) << 12 | (data[i + 2] & 0x3F) << 6 | data[i + 3] & 0x3F
    return (int(fold[code]) if code < fold.shape[0] else SEPARATOR), 4


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def split(data: Bytes, start: int, end: int, fold: Fold, hashes: Numbers, starts: Places, ends: Places) -> int:
    """Hash, first byte and end of every word of `data[start:end]`, from the front of the arrays; how many there are."""
    words, inside, i = 0, False, start
    h = _OFFSET
    while i < end:
        found, size = character(data, i, fold)
        if found > IGNORED:
            alone = found >= ALONE
            if inside and alone:
                hashes[words] = mixed(h)
                words += 1
            if alone or not inside:
                starts[words], h, inside = i, _OFFSET, True
            h = (h ^ np.uint64(found)) * _FNV
            ends[words] = i + size
            if alone:
                hashes[words] = mixed(h)
                words, inside = words + 1, False
        elif found == SEPARATOR and inside:
            hashes[words] = mixed(h)
            words, inside = words + 1, False
        i += size
    if inside:
        hashes[words] = mixed(h)
        words += 1
    return words
