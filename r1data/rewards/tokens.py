"""Language units of prose in their order: words of alphabets, characters of scripts without spaces. Imports numba.

A word has two letters or more (one of Hangul). Identifiers do not count: those with an underscore, lower case with a
capital inside (`isPrime`), those before an opening bracket.
"""

import functools
from typing import Any

import numpy as np

from r1data.rewards.compiled import kernel
from r1data.rewards.function_words import vocabulary
from r1data.rewards.scripts import (
    BREAK,
    CLOSE,
    HANGUL,
    LATIN,
    LETTERS,
    LIMIT,
    MARK,
    NOTHING,
    UNSPACED,
    classes,
)

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Integers = np.ndarray[Any, np.dtype[np.int64]]
Hashes = np.ndarray[Any, np.dtype[np.uint64]]
TABLE = 4096
FNV, START = np.uint64(1099511628211), np.uint64(14695981039346656037)
ACCENT = 4


@functools.cache
def word_table() -> tuple[Hashes, Bytes]:
    """Hashes and kinds of the function words, an open-addressing table."""
    keys, kinds = np.zeros(TABLE, np.uint64), np.zeros(TABLE, np.uint8)
    for word, kind in vocabulary().items():
        value = int(START)
        for byte in word.encode():
            value = ((value ^ byte) * int(FNV)) % 2**64
        place = (value ^ value >> 32) % TABLE
        while keys[place]:
            place = (place + 1) % TABLE
        keys[place], kinds[place] = value, kind
    return keys, kinds


@kernel
def decoded(text: Bytes, i: int, end: int) -> tuple[int, int]:
    """The code point at i and where the next one begins; broken UTF-8 is nothing, a byte at a time."""
    c = np.int64(text[i])
    if c < 0x80:
        return c, i + 1
    length = 2 if 0xC2 <= c < 0xE0 else 3 if 0xE0 <= c < 0xF0 else 4 if 0xF0 <= c < 0xF5 else 0
    if length == 0 or i + length > end:
        return LIMIT, i + 1
    value = c & (0x7F >> length)
    for k in range(i + 1, i + length):
        value = (value << 6) | (np.int64(text[k]) & 0x3F)
    return min(value, LIMIT), i + length


@kernel
def _looked_up(word: np.uint64, keys: Hashes, kinds: Bytes) -> int:
    place = np.int64((word ^ (word >> np.uint64(32))) & np.uint64(TABLE - 1))
    while keys[place] != 0:
        if keys[place] == word:
            return np.int64(kinds[place])
        place = (place + 1) & (TABLE - 1)
    return 0


@kernel
def _word(text: Bytes, i: int, end: int, table: Bytes, script: int) -> tuple[int, int, np.uint64, bool, bool]:
    """(end, letters, hash in lower case, identifier, accented) of the word at i, letters of one script with marks."""
    letters, word, identifier, accented, low = 0, START, False, False, False
    while i < end:
        c = text[i]
        if c < 0x80:
            if not (65 <= c <= 90 or 97 <= c <= 122) or script != LATIN:
                break
            capital = c <= 90
            low |= not capital and letters == 0
            identifier |= capital and low
            word = (word ^ np.uint64(c | 0x20)) * FNV
            letters += 1
            i += 1
            continue
        point, after = decoded(text, i, end)
        kind = table[point] if point < LIMIT else NOTHING
        if kind != script and kind != MARK:
            break
        letters += kind == script
        accented = True
        for k in range(i, after):
            byte = text[k]
            # capitals of Latin-1 in UTF-8 are C3 80 to C3 9E, 0x20 below their small letters
            if k > i and text[i] == 0xC3 and 0x80 <= byte <= 0x9E:
                byte += 0x20
            word = (word ^ np.uint64(byte)) * FNV
        i = after
    return i, letters, word, identifier, accented


@kernel
def _joined(text: Bytes, begin: int, first: int, i: int, end: int) -> bool:
    """Whether the word between first and i is part of a name in code: a_b, a(b)."""
    return (i < end and (text[i] == 0x5F or text[i] == 0x28)) or (first > begin and text[first - 1] == 0x5F)


# script, kind of word, hash of word, first and last byte; a plain tuple, since cached code must name no class of ours
Tokens = tuple[Bytes, Bytes, Hashes, Integers]


def tokens(offsets: Integers, text: Bytes) -> tuple[Integers, Tokens]:
    """The tokens of each text of prose, and where each text's begin."""
    starts, room = np.zeros(len(offsets), np.int64), len(text) + 1
    found = np.empty(room, np.uint8), np.empty(room, np.uint8), np.empty(room, np.uint64), np.empty((room, 2), np.int64)
    _tokens(offsets, text, classes(), *word_table(), starts, found)
    return starts, found


@kernel
def _tokens(
    offsets: Integers, text: Bytes, table: Bytes, keys: Hashes, kinds: Bytes, starts: Integers, out: Tokens
) -> None:
    for row in range(len(offsets) - 1):
        starts[row + 1] = _row(text, offsets[row], offsets[row + 1], table, keys, kinds, starts[row], out)


@kernel
def _row(text: Bytes, begin: int, end: int, table: Bytes, keys: Hashes, kinds: Bytes, first: int, out: Tokens) -> int:
    scripts, hits, words, spans = out
    at, i = first, begin
    while i < end:
        point, after = decoded(text, i, end)
        kind = table[point] if point < LIMIT else NOTHING
        if kind >= UNSPACED or BREAK <= kind <= CLOSE:
            scripts[at], hits[at], spans[at, 0], spans[at, 1] = kind, 0, i, after
            again = kind <= CLOSE and at > first and scripts[at - 1] == kind
            decimal = point == 0x2E and after < end and 48 <= text[after] <= 57
            at += not (again or decimal)
        elif kind >= LETTERS:
            after, letters, word, identifier, accented = _word(text, i, end, table, kind)
            latin = kind == LATIN
            identifier |= latin and _joined(text, begin, i, after, end)
            if kind == HANGUL or (letters >= 2 and not identifier):
                scripts[at], words[at], spans[at, 0], spans[at, 1] = kind, word, i, after
                hits[at] = (_looked_up(word, keys, kinds) if latin else 0) | (ACCENT if accented else 0)
                at += 1
        i = after
    return at
