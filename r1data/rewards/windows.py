"""The language of each unit: by script, by kana, by function words, or by an identifier of windows. Imports numba.

Kana make the Han of their sentence Japanese; what stands in brackets follows its own kana, or else its sentence.
A clause in Latin letters is English where English function words outnumber twice those of other languages. Other
clauses join to windows that end with a sentence after `SENTENCE` words, at the latest after about `WINDOW`. A window
of `LEAST` distinct words that could be another language is left to an identifier: it has function words of others,
accents, or `PLAIN` words without an English one among them.
What is left, the language that most of the text's windows have, else English.
"""

from typing import Any

import numpy as np

from r1data.rewards.compiled import kernel
from r1data.rewards.scripts import BREAK, CLOSE, HAN, KANA, LATIN, LETTERS, OPEN
from r1data.rewards.tokens import ACCENT, Bytes, Integers, Tokens

Codes = np.ndarray[Any, np.dtype[np.int32]]
WINDOW, SENTENCE, LEAST, PLAIN = 60, 10, 4, 10
UNSURE, WINDOWS = 63, 64  # codes: a script, Latin of no known language, or WINDOWS + the number of its window


# the words of windows as text, and a row a window: row, first and last byte of it, number of words
Windows = tuple[Bytes, Integers]


def coded(starts: Integers, found: Tokens, text: Bytes) -> tuple[Codes, Windows]:
    """A code for each token (-1 for a break), and the windows that the codes from `WINDOWS` on name."""
    number = int(starts[-1])
    codes = np.empty(number, np.int32)
    windows = np.empty(len(text) + number, np.uint8), np.empty((number // LEAST + 1, 4), np.int64)
    many = _coded(starts, found, text, codes, windows)
    return codes, (windows[0], windows[1][:many])


@kernel
def _coded(starts: Integers, found: Tokens, text: Bytes, codes: Codes, windows: Windows) -> int:
    many, scripts = 0, found[0]
    for row in range(len(starts) - 1):
        first, last = starts[row], starts[row + 1]
        begin = first
        for i in range(first, last):
            codes[i] = scripts[i] if scripts[i] >= LETTERS else -1
            if scripts[i] == BREAK or i == last - 1:
                _japanese(scripts, begin, i + 1, codes)
                begin = i + 1
        many = _clauses(row, first, last, found, text, codes, windows, many)
    return many


@kernel
def _japanese(scripts: Bytes, first: int, last: int, codes: Codes) -> None:
    """Make the Han of a sentence Japanese where kana say so: brackets apart, inheriting where they have no kana."""
    kana, han, inside = 0, 0, False
    for i in range(first, last):
        inside = (inside or scripts[i] == OPEN) and scripts[i] != CLOSE
        kana += scripts[i] == KANA and not inside
        han += scripts[i] == HAN and not inside
    outer, i = 10 * kana > han, first
    while i < last:
        j, kana = i + 1, 0
        if scripts[i] == OPEN:
            while j < last and scripts[j] != CLOSE:
                kana += scripts[j] == KANA
                j += 1
        for k in range(i, j):
            if scripts[k] == HAN and (outer or kana > 0):
                codes[k] = KANA
        i = j


@kernel
def _clauses(
    row: int,
    first: int,
    last: int,
    found: Tokens,
    text: Bytes,
    codes: Codes,
    windows: Windows,
    many: int,
) -> int:
    scripts, hits = found[0], found[1]
    begin, words, i = -1, 0, first
    while i < last:
        if scripts[i] != LATIN:
            if begin >= 0 and (scripts[i] >= LETTERS or (scripts[i] == BREAK and words >= SENTENCE)):
                many = _close(row, begin, i, found, text, codes, windows, many)
                begin = -1
            i += 1
            continue
        j, english, other = i, 0, 0
        while j < last and scripts[j] == LATIN and j - i < WINDOW:
            english += (hits[j] & 3) == 1
            other += (hits[j] & 3) == 2
            j += 1
        if english > 2 * other or (words >= WINDOW and begin >= 0):
            if begin >= 0:
                many = _close(row, begin, i, found, text, codes, windows, many)
            begin = -1
        if english <= 2 * other:
            words = j - i if begin < 0 else words + j - i
            begin = i if begin < 0 else begin
        i = j
    return _close(row, begin, last, found, text, codes, windows, many) if begin >= 0 else many


@kernel
def _close(
    row: int,
    first: int,
    last: int,
    found: Tokens,
    text: Bytes,
    codes: Codes,
    windows: Windows,
    many: int,
) -> int:
    """Give the Latin tokens between first and last a window of their own, where an identifier could tell."""
    scripts, hits, hashes, spans = found
    written, asked = windows
    words, english, other, different = 0, 0, 0, 0
    for i in range(first, last):
        if scripts[i] == LATIN:
            words += 1
            english += (hits[i] & 3) == 1
            other += (hits[i] & 3) == 2 or (hits[i] & ACCENT) != 0
            if different < LEAST:
                seen = False
                for k in range(first, i):
                    seen |= scripts[k] == LATIN and hashes[k] == hashes[i]
                different += not seen
    asks = different >= LEAST and (other > 0 or (words >= PLAIN and english == 0))
    at = asked[many - 1, 2] if many else 0
    begin = at
    for i in range(first, last):
        if scripts[i] != LATIN:
            continue
        codes[i] = WINDOWS + many if asks else UNSURE
        if asks:
            start, end = spans[i, 0], spans[i, 1]
            written[at] = 0x27 if start and text[start - 1] == 0x27 else 0x20
            written[at + 1 : at + 1 + end - start] = text[start:end]
            at += 1 + end - start
    if not asks:
        return many
    span = asked[many]
    span[0], span[1], span[2], span[3] = row, begin, at, words
    return many + 1


@kernel
def fold(
    starts: Integers,
    scripts: Bytes,
    codes: Codes,
    meant: Codes,
    default: Codes,
    target: Codes,
    units: Integers,
    by_script: Integers,
    runs: Integers,
) -> None:
    """Units by language and by script; runs: changes of language, longest run of units not in the target.

    meant: the language of each code below `WINDOWS` and of each window; default: that of the unsure, by row.
    """
    for row in range(len(starts) - 1):
        before, foreign = -1, 0
        for i in range(starts[row], starts[row + 1]):
            if codes[i] < 0:
                continue
            language = meant[codes[i]]
            if language < 0:
                language = default[row]
            units[row, language] += 1
            by_script[row, scripts[i]] += 1
            runs[row, 0] += before >= 0 and before != language
            foreign = 0 if language == target[row] else foreign + 1
            runs[row, 1] = max(runs[row, 1], foreign)
            before = language
