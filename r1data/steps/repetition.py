"""Gopher's thirteen repetition statistics (arXiv 2112.11446, table A1) and repeated characters. Imports numba.

WORDS is the version of the word definition: a run of letters, digits, underscores and marks is a word; a character of
a script without spaces (Han, kana, Thai ...) is one; any other run of characters without spaces (punctuation) is one.
Everything is in characters (code points), and compared by 64-bit hashes.
"""

import functools
from typing import Any

import numpy as np

from r1data.rewards.compiled import kernel
from r1data.rewards.scripts import DIGIT, LETTERS, LIMIT, MARK, NOTHING, SPACE, UNDERSCORE, UNSPACED, classes
from schemas.generation import REPETITIONS

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Integers = np.ndarray[Any, np.dtype[np.int64]]
Hashes = np.ndarray[Any, np.dtype[np.uint64]]
Floats = np.ndarray[Any, np.dtype[np.float64]]
WORDS = 1
NEWLINE, NGRAM = 10, 8
FNV, START = np.uint64(1099511628211), np.uint64(14695981039346656037)
ODD, M1, M2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def repetitions(offsets: Integers, text: Bytes) -> Floats:
    """A row of `REPETITIONS` a text of Arrow's buffers; NaN where there is no word to count."""
    out = np.full((len(offsets) - 1, len(REPETITIONS)), np.nan)
    longest = int(np.diff(offsets).max(initial=0))
    _statistics(offsets, text, word_classes(), _slots(longest), out)
    return out


def words(text: str) -> list[str]:
    """The words that the statistics are of, for a reader and for comparisons."""
    raw = text.encode("utf-8", "surrogatepass")
    hashes, spans = np.empty(len(raw) + 1, np.uint64), np.empty((len(raw) + 1, 2), np.int64)
    lengths = np.empty(len(raw) + 1, np.int64)
    number = _words(np.frombuffer(raw, np.uint8), 0, len(raw), word_classes(), hashes, lengths, spans)
    return [raw[a:b].decode("utf-8", "surrogatepass") for a, b in spans[:number].tolist()]


def repeated_characters(offsets: Integers, text: Bytes) -> Floats:
    """Share of the character 8-grams that are repeats of an earlier one: 0 for none, towards 1 for a loop."""
    out = np.zeros(len(offsets) - 1)
    _characters(offsets, text, np.empty(_size(int(np.diff(offsets).max(initial=0))), np.uint64), out)
    return out


@functools.cache
def word_classes() -> Bytes:
    """The class of each code point for words: LETTERS for all that a run of is a word, NOTHING for punctuation."""
    table = np.where((classes() >= UNSPACED) | (classes() == SPACE), classes(), NOTHING).astype(np.uint8)
    letters = (classes() >= LETTERS) & (classes() < UNSPACED)
    table[letters | np.isin(classes(), (DIGIT, UNDERSCORE, MARK))] = LETTERS
    table[NEWLINE] = SPACE
    return table


def _slots(longest: int) -> tuple[Hashes, Integers, Integers]:
    """Keys, generation and counts of an open-addressing table never cleared, for texts of so many bytes."""
    size = _size(longest + 1)
    return np.zeros(size, np.uint64), np.zeros(size, np.int32), np.zeros(size, np.int32)


@kernel
def _mix(x: np.uint64) -> np.uint64:
    x ^= x >> np.uint64(30)
    x *= M1
    x ^= x >> np.uint64(27)
    x *= M2
    return x ^ (x >> np.uint64(31))


@kernel
def _size(number: int) -> int:
    """Slots for so many keys: a power of two, two thirds full at most."""
    size = 64
    while 2 * size < 3 * number:
        size *= 2
    return size


@kernel
def _put(slots: tuple[Hashes, Integers, Integers], size: int, generation: int, key: np.uint64) -> int:
    """The slot of the key, whose count in this generation is one more now."""
    keys, generations, counts = slots
    mask = np.uint64(size - 1)
    place = key & mask
    while generations[place] == generation:
        if keys[place] == key:
            counts[place] += 1
            return np.int64(place)
        place = (place + np.uint64(1)) & mask
    generations[place], keys[place], counts[place] = generation, key, 1
    return np.int64(place)


@kernel
def _lines(text: Bytes, begin: int, end: int, least: int, slots: Any, generation: int) -> tuple[int, int, int]:
    """(pieces, repeated pieces, their characters) between runs of at least so many line ends."""
    size, pieces, repeated, characters, i = _size(end - begin + 1), 0, 0, 0, begin
    piece, length = START, 0
    while True:
        j = i
        while j < end and text[j] == NEWLINE:
            j += 1
        if i >= end or j - i >= least:
            pieces += 1
            if slots[2][_put(slots, size, generation, _mix(piece ^ np.uint64(length)))] > 1:
                repeated += 1
                characters += length
            piece, length = START, 0
            if i >= end:
                return pieces, repeated, characters
            i = j
            continue
        piece = (piece ^ np.uint64(text[i])) * FNV
        length += (text[i] & 0xC0) != 0x80
        i += 1


@kernel
def _class(text: Bytes, i: int, end: int, table: Bytes) -> tuple[int, int]:
    """The class of the code point at i and where the next begins."""
    c = np.int64(text[i])
    if c < 0x80:
        return np.int64(table[c]), i + 1
    length = 1 if c < 0xC2 else 2 if c < 0xE0 else 3 if c < 0xF0 else 4 if c < 0xF5 else 1
    if length == 1 or i + length > end:
        return NOTHING, i + 1
    point = c & (0x7F >> length)
    for k in range(i + 1, i + length):
        point = (point << 6) | (np.int64(text[k]) & 0x3F)
    return (np.int64(table[point]) if point < LIMIT else NOTHING), i + length


@kernel
def _words(text: Bytes, begin: int, end: int, table: Bytes, hashes: Hashes, lengths: Integers, spans: Integers) -> int:
    number, i = 0, begin
    while i < end:
        kind, after = _class(text, i, end, table)
        if kind == SPACE:
            i = after
            continue
        word, length, first, same = START, 0, i, kind
        while same == kind:
            for k in range(i, after):
                word = (word ^ np.uint64(text[k])) * FNV
            length += 1
            i = after
            if kind >= UNSPACED or i >= end:
                break
            same, after = _class(text, i, end, table)
        hashes[number], lengths[number], spans[number, 0], spans[number, 1] = _mix(word), length, first, i
        number += 1
    return number


@kernel
def _n_grams(hashes: Hashes, lengths: Integers, number: int, slots: Any, generation: int, out: Floats) -> int:
    """Characters of the most frequent 2- to 4-grams, with their spaces, and of repeated 5- to 10-grams, without.

    Only where an n-gram occurs twice a longer one can: from the 3-grams on, `starts` has those `many` places alone.
    """
    grams, sizes, starts, many = hashes[:number].copy(), lengths[:number].copy(), np.arange(number), number
    places = np.empty(number, np.int64)
    for n in range(2, 11):
        generation += 1
        while many and starts[many - 1] + n > number:
            many -= 1
        size, characters, jump = _size(many), 0, 0
        for i in range(many):
            k = starts[i]
            grams[k] = _mix(grams[k] * ODD + hashes[k + n - 1])
            sizes[k] += lengths[k + n - 1]
            if n < 5:
                places[i] = _put(slots, size, generation, grams[k])
            elif k >= jump and slots[2][_put(slots, size, generation, grams[k])] > 1:
                characters += sizes[k]
                jump = k + n
        out[n + 2] = characters
        if n < 5 and n <= number:
            out[n + 2], many = _most(slots[2], places, starts, sizes, many, lengths[:n].sum(), n)
    return generation


@kernel
def _most(
    counts: Integers, places: Integers, starts: Integers, sizes: Integers, many: int, first: int, n: int
) -> tuple[int, int]:
    """Characters of the most frequent n-gram (of equal ones the first), and how many places have a repeated one.

    These are moved to the front of `starts`; `first` is the size of the text's first n-gram.
    """
    most, repeated = 1, 0
    for i in range(many):
        count = counts[places[i]]
        if count > most:
            most, first = count, sizes[starts[i]]
        if count > 1:
            starts[repeated] = starts[i]
            repeated += 1
    return most * (first + n - 1), repeated


@kernel
def _statistics(offsets: Integers, text: Bytes, table: Bytes, slots: Any, out: Floats) -> None:
    room, generation = np.max(np.diff(offsets)) + 1 if len(offsets) > 1 else 1, 0
    hashes, lengths, spans = np.empty(room, np.uint64), np.empty(room, np.int64), np.empty((room, 2), np.int64)
    for row in range(len(offsets) - 1):
        begin, end, characters = offsets[row], offsets[row + 1], 0
        for i in range(begin, end):
            characters += (text[i] & 0xC0) != 0x80
        number = _words(text, begin, end, table, hashes, lengths, spans)
        if number == 0:
            continue
        for least in (1, 2):
            generation += 1
            first, last = begin, end
            while least == 2 and first < last and text[first] <= 32:
                first += 1
            while least == 2 and last > first and text[last - 1] <= 32:
                last -= 1
            pieces, repeated, told = _lines(text, first, last, least, slots, generation)
            out[row, 2 * least - 2], out[row, 2 * least - 1] = repeated / pieces, told / characters
        generation = _n_grams(hashes, lengths, number, slots, generation, out[row])
        out[row, 4:] /= characters


@kernel
def _characters(offsets: Integers, text: Bytes, keys: Hashes, out: Floats) -> None:
    power = np.uint64(1)
    for _ in range(NGRAM):
        power *= ODD
    for row in range(len(offsets) - 1):
        begin, end, different, seen, gram = offsets[row], offsets[row + 1], 0, 0, np.uint64(0)
        size = _size(end - begin)
        keys[:size] = 0
        mask, i, tail = np.uint64(size - 1), begin, begin
        while i < end:
            point, i = _character(text, i, end)
            gram = gram * ODD + point
            seen += 1
            if seen > NGRAM:
                old, tail = _character(text, tail, end)
                gram -= old * power
            if seen >= NGRAM:
                key = max(_mix(gram), np.uint64(1))  # 0 is an empty slot
                place = key & mask
                while keys[place] != 0 and keys[place] != key:
                    place = (place + np.uint64(1)) & mask
                different += keys[place] == 0
                keys[place] = key
        if seen >= NGRAM:
            out[row] = 1 - different / (seen - NGRAM + 1)


@kernel
def _character(text: Bytes, i: int, end: int) -> tuple[np.uint64, int]:
    """The bytes of the character at i as a number, and where the next begins."""
    point, i = np.uint64(text[i]), i + 1
    while i < end and (text[i] & 0xC0) == 0x80:
        point = (point << np.uint64(8)) | np.uint64(text[i])
        i += 1
    return point, i
