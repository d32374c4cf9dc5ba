"""How often words of reflection stand in UTF-8 texts, in any case (paper C.2), in one compiled pass. Imports numba."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from r1data.rewards.compiled import kernel
from r1data.rewards.scripts import LIMIT
from r1data.rewards.tokens import Bytes, Integers, decoded

WORDS = ("wait", "mistake", "however", "but", "retry", "error", "verify", "wrong", "evaluate", "check")
INSIDE, FIRST = 1, 2  # a character of words; one that a word of reflection begins with
CAPITAL_I, DOTLESS_I, LONG_S, KELVIN = 0x130, 0x131, 0x17F, 0x212A  # letters beyond ASCII that are i, s, k in any case

Words = np.ndarray[tuple[int, int], np.dtype[np.uint8]]


def reflections(offsets: Integers, text: Bytes) -> list[int]:
    """Words of reflection in each text of Arrow's buffers."""
    out = np.zeros(len(offsets) - 1, np.int64)
    _count(offsets, text, _kinds(), _padded(WORDS), out)
    found: list[int] = out.tolist()
    return found


@functools.cache
def _kinds() -> Bytes:
    """By code point: FIRST, else INSIDE where a word has it, else 0."""
    kinds = np.array([INSIDE if chr(c).isalnum() else 0 for c in range(LIMIT)], np.uint8)
    kinds[ord("_")] = INSIDE
    kinds[[ord(letter) for word in WORDS for letter in (word[0], word[0].upper())]] = FIRST
    return kinds


@functools.cache
def _padded(words: Sequence[str]) -> Words:
    """A word a row, zeros after it."""
    table = np.zeros((len(words), max(map(len, words)) + 1), np.uint8)
    for i, word in enumerate(words):
        table[i, : len(word)] = list(word.encode())
    return table


@kernel
def _count(offsets: Integers, text: Bytes, kinds: Bytes, words: Words, out: Any) -> None:
    for row in range(len(offsets) - 1):
        i, end, inside = offsets[row], offsets[row + 1], False
        while i < end:
            point, after = decoded(text, i, end)
            kind = kinds[point] if point < LIMIT else 0
            if kind == FIRST and not inside:
                out[row] += _is_word(text, i, end, kinds, words)
            inside, i = kind > 0, after


@kernel
def _is_word(text: Bytes, begin: int, end: int, kinds: Bytes, words: Words) -> bool:
    """Whether one of the words begins here and ends where a word does."""
    for word in range(len(words)):
        i, k = begin, 0
        while i < end and words[word, k] != 0:
            point, after = decoded(text, i, end)
            if _small(point) != words[word, k]:
                break
            i, k = after, k + 1
        if words[word, k] == 0:
            point, _ = decoded(text, i, end) if i < end else (LIMIT, i)
            return point >= LIMIT or kinds[point] == 0
    return False


@kernel
def _small(point: int) -> int:
    """The small letter of the words that a code point is in any case, else something that is none."""
    if point < 0x80:
        return point | 0x20
    if point in (CAPITAL_I, DOTLESS_I):
        return 0x69
    return 0x73 if point == LONG_S else 0x6B if point == KELVIN else 0
