"""Which texts share a run of words with a set of items, compiled. Loads numba: import it in functions.

Runs are looked up by a rolling hash; what has the same hash is compared word by word, so that none is found by chance.
"""

from typing import NamedTuple

import numpy as np
import polars as pl
from numba import njit
from numpy.typing import NDArray

from r1data.steps.words import IGNORED, Buffers, Bytes, Fold, Numbers, Places, buffers, character, fold_table, mixed
from r1data.steps.words import split as split_words

ALL_BITS = (1 << 64) - 1
_BASE, _ZERO, _ONE = np.uint64(0x9E3779B97F4A7C15), np.uint64(0), np.uint64(1)
_3, _7, _29 = np.uint64(3), np.uint64(7), np.uint64(29)


class Words(NamedTuple):
    """Words of texts, one after the other: their hashes, first bytes and ends in `data`."""

    data: Bytes
    hashes: Numbers
    starts: Places
    ends: Places


class Index(NamedTuple):
    """Runs of the items' words: an open hash table from a run's hash to the place of its first word."""

    keys: Numbers
    values: Places
    seen: Bytes
    """A bit for every hash that may be in the table: small enough for the processor's cache."""
    bits: np.uint64
    words: Words
    offsets: Places
    """Where each item's words begin, one entry more than items."""
    bytes_from: Places
    item_of: Places
    sizes: Places
    """How many words a run of each item has; 0: too few to be in the table."""


class Hits(NamedTuple):
    """Where texts share a run: text, first byte and end in it, item, first byte and end in that, all by position."""

    rows: Places
    words: Places
    """Words of every text."""


def index(items: pl.Series, whole: NDArray[np.bool_], ngram: int, least: int, bits: int = ALL_BITS) -> Index:
    """All runs of `ngram` words; an item of fewer is one run, if it is `whole` and has `least` words.

    `bits` masks the hashes, so that a test can make them collide.
    """
    texts = buffers(items)
    words, offsets = item_words(texts)
    counts = np.diff(offsets)
    sizes = np.where(counts >= ngram, ngram, np.where(whole & (counts >= least), counts, 0))
    runs = int((counts - sizes + 1)[sizes > 0].sum())
    slots = 1 << max(4, int(np.ceil(np.log2(2.5 * runs + 1))))
    keys, values, seen = np.zeros(slots, np.uint64), np.zeros(slots, np.int64), np.zeros(slots, np.uint8)
    item_of = np.repeat(np.arange(len(counts)), counts)
    found = Index(keys, values, seen, np.uint64(bits), words, offsets, texts.offsets.copy(), item_of, sizes)
    _fill(found, fold_table())
    return found


def item_words(texts: Buffers) -> tuple[Words, Places]:
    """All words of the items, and where each item's begin (one entry more than items)."""
    count, longest = len(texts.offsets) - 1, texts.longest
    room = np.zeros(longest, np.uint64), np.zeros(longest, np.int64), np.zeros(longest, np.int64)
    hashes, starts, ends = [room[0][:0]], [room[1][:0]], [room[2][:0]]
    offsets = np.zeros(count + 1, np.int64)
    for i in range(count):
        found = split_words(texts.data, texts.offsets[i], texts.offsets[i + 1], fold_table(), *room)
        offsets[i + 1] = offsets[i] + found
        hashes.append(room[0][:found].copy())
        starts.append(room[1][:found].copy())
        ends.append(room[2][:found].copy())
    return Words(texts.data, np.concatenate(hashes), np.concatenate(starts), np.concatenate(ends)), offsets


def scan(texts: pl.Series, found: Index, ngram: int) -> Hits:
    """The first run of `ngram` words that each text shares, as long as it goes on; and all places of shorter items."""
    given = buffers(texts)
    count = len(given.offsets) - 1
    sizes = np.unique(found.sizes[found.sizes > 0])[::-1].copy()
    words = np.zeros(count, np.int64)
    rows = np.zeros((max(64, count), 6), np.int64)
    about = (given.data, given.offsets, given.longest, found, sizes, ngram, fold_table())
    hits = _scan(*about, rows, words)
    if hits > len(rows):
        rows = np.zeros((hits, 6), np.int64)
        _scan(*about, rows, words)
    rows = rows[:hits]
    rows[:, 1:3] -= given.offsets[rows[:, 0], None]
    rows[:, 4:6] -= found.bytes_from[rows[:, 3], None]
    return Hits(rows, words)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _next(data: Bytes, i: int, end: int, fold: Fold) -> tuple[int, int]:
    """(folded character, place after it) of a word, invisible characters skipped; 0 at its end."""
    while i < end:
        found, size = character(data, i, fold)
        i += size
        if found != IGNORED:
            return found, i
    return 0, i


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _same_word(a: Words, k: int, b: Words, m: int, fold: Fold) -> bool:
    i, j, left, right = a.starts[k], b.starts[m], 1, 1
    while left == right and left != 0:
        left, i = _next(a.data, i, a.ends[k], fold)
        right, j = _next(b.data, j, b.ends[m], fold)
    return left == right


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _shared(a: Words, k: int, a_end: int, b: Words, m: int, b_end: int, fold: Fold) -> int:
    """How many words are the same from a's word k and b's word m on."""
    n = 0
    while k + n < a_end and m + n < b_end and _same_word(a, k + n, b, m + n, fold):
        n += 1
    return n


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _power(size: int) -> np.uint64:
    """What the first word of a run of that size is multiplied by."""
    power = _ONE
    for _ in range(size - 1):
        power = power * _BASE
    return power


@njit(cache=True, nogil=True, inline="always")  # type: ignore[untyped-decorator]
def _key(rolling: np.uint64, bits: np.uint64) -> np.uint64:
    key = mixed(rolling) & bits
    return _ONE if key == _ZERO else key  # 0 is an empty slot


@njit(cache=True, nogil=True, inline="always")  # type: ignore[untyped-decorator]
def _bit(key: np.uint64, slots: int) -> tuple[np.uint64, np.uint8]:
    """Place of a hash among the bits seen, eight for every slot; it takes other bits of it than the slot does."""
    place = key >> _29
    return (place >> _3) & np.uint64(slots - 1), np.uint8(_ONE << (place & _7))


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _slot(
    found: Index, key: np.uint64, size: int, texts: Words, k: int, k_end: int, fold: Fold
) -> tuple[np.uint64, int]:
    """(slot, words shared) of the run that begins at the texts' word k; an empty slot and 0 if no item has it."""
    mask = np.uint64(found.keys.shape[0] - 1)
    slot = key & mask
    while found.keys[slot] != _ZERO:
        m = found.values[slot]
        item = found.item_of[m]
        if found.keys[slot] == key and found.sizes[item] == size:
            same = _shared(texts, k, k_end, found.words, m, found.offsets[item + 1], fold)
            if same >= size:
                return slot, same
        slot = (slot + _ONE) & mask
    return slot, 0


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _fill(found: Index, fold: Fold) -> None:
    """Every run once, at the first item that has it."""
    for item in range(found.sizes.shape[0]):
        size = found.sizes[item]
        for k in range(found.offsets[item], found.offsets[item + 1] - size + 1 if size > 0 else 0):
            rolling = _ZERO
            for t in range(size):
                rolling = rolling * _BASE + found.words.hashes[k + t]
            key = _key(rolling, found.bits)
            slot, same = _slot(found, key, size, found.words, k, k + size, fold)
            if same == 0:
                found.keys[slot], found.values[slot] = key, k
                byte, bit = _bit(key, found.seen.shape[0])
                found.seen[byte] |= bit


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _scan(
    data: Bytes, places: Places, longest: int, found: Index, sizes: Places, ngram: int, fold: Fold, rows: Places,
    words: Places,
) -> int:  # fmt: skip
    """Fill `rows` as far as they go, and `words`; how many rows there would be."""
    hashes, starts, ends = np.zeros(longest, np.uint64), np.zeros(longest, np.int64), np.zeros(longest, np.int64)
    text, hits = Words(data, hashes, starts, ends), 0
    for i in range(places.shape[0] - 1):
        n = split_words(data, places[i], places[i + 1], fold, hashes, starts, ends)
        words[i] = n
        for size in sizes:
            before = hits
            hits = _of_size(text, n, i, size, size == ngram, found, fold, rows, hits)
            if size == ngram and hits > before:
                break
    return hits


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _of_size(
    text: Words, n: int, i: int, size: int, first_alone: bool, found: Index, fold: Fold, rows: Places, hits: int
) -> int:
    """Add a text's runs of one size to `rows`, or the first of them; how many there are now."""
    rolling, last = _ZERO, _power(size)
    for k in range(n):
        if k >= size:
            rolling = rolling - text.hashes[k - size] * last
        rolling = rolling * _BASE + text.hashes[k]
        key = _key(rolling, found.bits)
        byte, bit = _bit(key, found.seen.shape[0])
        if k < size - 1 or not found.seen[byte] & bit:
            continue
        first = k - size + 1
        slot, same = _slot(found, key, size, text, first, n, fold)
        if same > 0:
            if hits < rows.shape[0]:
                m = found.values[slot]
                rows[hits, 0], rows[hits, 1], rows[hits, 2] = i, text.starts[first], text.ends[first + same - 1]
                rows[hits, 3], rows[hits, 4] = found.item_of[m], found.words.starts[m]
                rows[hits, 5] = found.words.ends[m + same - 1]
            hits += 1
            if first_alone:
                break
    return hits
