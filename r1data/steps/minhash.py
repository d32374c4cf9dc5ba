"""MinHash signatures of texts and the clusters that they make, compiled. Loads numba: import it in functions.

A signature holds, for each permutation, 16 bits of the least hash among a text's word shingles: two signatures agree in
as many places as the texts' shingle sets overlap (Jaccard). Pairs meet where a band of `rows` places is equal.
"""

import numpy as np
import polars as pl
from numba import njit
from numpy.typing import NDArray

from r1data.steps.words import Bytes, Fold, Numbers, Places, buffers, fold_table, mixed, split

Halves = NDArray[np.uint16]
_BASE, _ZERO, _ONE = np.uint64(0x9E3779B97F4A7C15), np.uint64(0), np.uint64(1)
_FNV, _OFFSET, _32 = np.uint64(1099511628211), np.uint64(14695981039346656037), np.uint64(32)
_HIGH = np.uint32(0xFFFFFFFF)
_MOST = 500


def signatures(texts: pl.Series, permutations: int, shingle: int) -> tuple[Halves, Numbers, Places]:
    """Per text: its signature, 128 bits of its characters (folded, without what separates words twice), its words.

    A text of fewer words than a shingle is one shingle; one without words has the signature of nothing, all ones.
    """
    given = buffers(texts)
    count = len(given.offsets) - 1
    found = np.zeros((count, permutations), np.uint16)
    exact, words = np.zeros((count, 2), np.uint64), np.zeros(count, np.int64)
    odd, masks = _permutations(permutations)
    _sign(given.data, given.offsets, given.longest, fold_table(), odd, masks, shingle, found, exact, words)
    return found, exact, words


def _permutations(count: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Odd multipliers, and what a hash is xor-ed with before: the same on every machine and in every run."""
    state = np.arange(1, 2 * count + 1, dtype=np.uint64) * _BASE
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    found = ((state ^ (state >> np.uint64(31))) >> _32).astype(np.uint32)
    return found[:count] | np.uint32(1), found[count:].copy()


def clusters(signature: Halves, rows: int, similarity: float) -> Places:
    """For every signature the position of the first in its cluster: connected by pairs whose estimate is enough."""
    count, permutations = signature.shape
    root = np.arange(count)
    for band in range(permutations // rows):
        keys = np.zeros(count, np.uint64)
        _band_keys(signature, band * rows, rows, keys)
        _join(keys, np.argsort(keys, kind="stable"), signature, int(np.ceil(similarity * permutations - 1e-9)), root)
    return np.array([_root(root, i) for i in range(count)], np.int64)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def agreement(a: Halves, b: Halves) -> int:
    """In how many places two signatures are equal."""
    same = 0
    for p in range(a.shape[0]):
        same += a[p] == b[p]
    return same


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _least(h: np.uint64, odd: NDArray[np.uint32], masks: NDArray[np.uint32], least: NDArray[np.uint32]) -> None:
    low = np.uint32(h)
    for p in range(least.shape[0]):
        value = np.uint32((low ^ masks[p]) * odd[p])
        least[p] = min(least[p], value)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _sign(
    data: Bytes, places: Places, longest: int, fold: Fold, odd: NDArray[np.uint32], masks: NDArray[np.uint32],
    shingle: int, found: Halves, exact: Numbers, words: Places,
) -> None:  # fmt: skip
    hashes, starts, ends = np.zeros(longest, np.uint64), np.zeros(longest, np.int64), np.zeros(longest, np.int64)
    least, before = np.zeros(odd.shape[0], np.uint32), _ONE
    for _ in range(shingle - 1):
        before = before * _BASE
    for text in range(places.shape[0] - 1):
        n = split(data, places[text], places[text + 1], fold, hashes, starts, ends)
        size, rolling, power = min(n, shingle), _ZERO, before
        least[:] = _HIGH
        for k in range(n):
            if k >= size:
                rolling = rolling - hashes[k - size] * power
            rolling = rolling * _BASE + hashes[k]
            if k >= size - 1:
                _least(mixed(rolling), odd, masks, least)
        for p in range(odd.shape[0]):
            found[text, p] = np.uint16(least[p] >> np.uint32(8))
        words[text] = n
        _characters(data, places[text], places[text + 1], exact[text])


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _characters(data: Bytes, start: int, end: int, exact: Numbers) -> None:
    """Two hashes of the text in lower case (ASCII) with every run of blanks as one, none at its ends."""
    a, b, blank, begun = _OFFSET, _BASE, False, False
    for i in range(start, end):
        c = np.uint64(data[i])
        if c <= np.uint64(32):
            blank = begun
            continue
        if blank:
            a, b, blank = (a ^ _32) * _FNV, (b + _32) * _BASE, False
        if np.uint64(65) <= c <= np.uint64(90):
            c += _32
        a, b, begun = (a ^ c) * _FNV, (b ^ (b >> _32) ^ c) * _BASE, True
    exact[0], exact[1] = mixed(a), mixed(b)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _band_keys(signature: Halves, first: int, rows: int, keys: Numbers) -> None:
    for i in range(signature.shape[0]):
        h = _OFFSET
        for p in range(first, first + rows):
            h = mixed((h ^ np.uint64(signature[i, p])) * _FNV)
        keys[i] = h


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _root(root: Places, i: int) -> int:
    while root[i] != i:
        root[i] = root[root[i]]
        i = root[i]
    return i


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _join(keys: Numbers, order: Places, signature: Halves, least: int, root: Places) -> None:
    """Join what has the same key and agrees: each with those that came before it and joined nobody in this band.

    Of these it is compared with the last `_MOST`: texts of one mould may share a band by the hundred thousand.
    """
    leaders = np.zeros(order.shape[0], np.int64)
    count, key = 0, _ZERO
    for k in range(order.shape[0]):
        i = order[k]
        if k == 0 or keys[i] != key:
            count, key = 0, keys[i]
        joined = False
        for j in leaders[max(0, count - _MOST) : count]:
            a, b = _root(root, i), _root(root, j)
            if a == b:
                joined = True
            elif agreement(signature[i], signature[j]) >= least:
                root[max(a, b)] = min(a, b)
                joined = True
        if not joined:
            leaders[count] = i
            count += 1
