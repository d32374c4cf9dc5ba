r"""Text without code, formulas, addresses and tags: what languages and repetitions are counted in. Imports numba.

Removed: fenced code, also unclosed; `inline code`; `$..$` (by Pandoc's rule, so that prices stay), `$$..$$`, `\(..\)`,
`\[..\]`, environments, `\commands` with their arguments; URLs; `<tags>`. Each leaves a space.
"""

from typing import Any

import numpy as np

from r1data.rewards.compiled import kernel

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Integers = np.ndarray[Any, np.dtype[np.int64]]
TICK, DOLLAR, BACKSLASH, LESS, MORE, NEWLINE, SPACE = (ord(c) for c in "`$\\<>\n ")
# a bracket not closed so near is taken as never closed, and after so many of them all are: a hostile text stays linear
ARGUMENT, TAG, UNCLOSED = 500, 200, 1000


def prose(offsets: Integers, text: Bytes) -> tuple[Integers, Bytes, Integers]:
    """Offsets and bytes of the prose of each text, and characters removed as (code, maths), one row a text."""
    rows = len(offsets) - 1
    kept, starts = np.empty(len(text) + rows, np.uint8), np.zeros(rows + 1, np.int64)
    removed = np.zeros((rows, 2), np.int64)
    _strip(offsets, text, kept, starts, removed)
    return starts, kept, removed


@kernel
def _letter(c: int) -> bool:
    return 65 <= c <= 90 or 97 <= c <= 122


@kernel
def _find(text: Bytes, i: int, end: int, a: int, b: int) -> int:
    """Past the next byte pair (a, b), or -1."""
    while i + 1 < end:
        if text[i] == a and text[i + 1] == b:
            return i + 2
        i += 1
    return -1


@kernel
def _code(text: Bytes, i: int, end: int) -> int:
    """Past the code that the backtick at i opens; i where it opens none."""
    if i + 2 < end and text[i + 1] == TICK and text[i + 2] == TICK:
        j = i + 3
        while j < end:
            if text[j] == TICK and j + 2 < end and text[j + 1] == TICK and text[j + 2] == TICK:
                return j + 3
            j += 1
        return end
    j = i + 1
    while j < end and text[j] != TICK and text[j] != NEWLINE:
        j += 1
    return j + 1 if j < end and text[j] == TICK else i


@kernel
def _dollars(text: Bytes, i: int, end: int, never: Integers) -> int:
    r"""Past the formula that the `$` at i opens; i where it opens none."""
    if i + 1 < end and text[i + 1] == DOLLAR:
        j = -1 if never[0] else _find(text, i + 2, end, DOLLAR, DOLLAR)
        never[0] = j < 0
        return max(i, j)
    if i + 1 >= end or text[i + 1] <= SPACE:
        return i
    j = i + 1
    while j < end and text[j] != DOLLAR and text[j] != NEWLINE:
        j += 1
    if j >= end or text[j] != DOLLAR or text[j - 1] <= SPACE or (j + 1 < end and 48 <= text[j + 1] <= 57):
        return i
    return j + 1


@kernel
def _arguments(text: Bytes, i: int, end: int, never: Integers) -> int:
    """Past the `{..}` and `[..]` that stand at i, nested."""
    while i < end and never[4] < UNCLOSED and (text[i] == 0x7B or text[i] == 0x5B):
        depth, j, last = 0, i, min(end, i + ARGUMENT)
        while j < last:
            if text[j] == 0x7B or text[j] == 0x5B:
                depth += 1
            elif text[j] == 0x7D or text[j] == 0x5D:
                depth -= 1
                if depth == 0:
                    break
            j += 1
        if j >= last:
            never[4] += 1
            return i
        i = j + 1
    return i


@kernel
def _command(text: Bytes, i: int, end: int, never: Integers) -> int:
    r"""Past what the backslash at i begins: `\(..\)`, `\[..\]`, an environment, a command; i where nothing."""
    if i + 1 >= end:
        return i
    c = text[i + 1]
    if c == 0x28 or c == 0x5B:
        which = 1 if c == 0x28 else 2
        j = -1 if never[which] else _find(text, i + 2, end, BACKSLASH, c + 1 if c == 0x28 else c + 2)
        never[which] = j < 0
        return j if j > 0 else i
    if not _letter(c):
        return i
    j = i + 1
    while j < end and _letter(text[j]):
        j += 1
    if j - i == 6 and text[i + 1] == 0x62 and text[i + 5] == 0x6E and not never[3]:  # \begin
        k = _find(text, j, end, BACKSLASH, 0x65)
        while k > 0 and not (k + 1 < end and text[k] == 0x6E and text[k + 1] == 0x64):
            k = _find(text, k, end, BACKSLASH, 0x65)
        never[3] = k < 0
        j = k + 2 if k > 0 else j
    return _arguments(text, j, end, never)


@kernel
def _tag(text: Bytes, i: int, end: int) -> int:
    """Past the tag that the `<` at i opens; i where it opens none."""
    j = i + 2 if i + 1 < end and (text[i + 1] == 0x2F or text[i + 1] == 0x7C) else i + 1
    if j >= end or not _letter(text[j]):
        return i
    last = min(end, i + TAG)
    while j < last and text[j] != MORE and text[j] != LESS and text[j] != NEWLINE:
        j += 1
    return j + 1 if j < last and text[j] == MORE else i


@kernel
def _address(text: Bytes, i: int, end: int) -> int:
    """Past the URL whose colon is at i; i where there is none."""
    if i + 2 >= end or text[i + 1] != 0x2F or text[i + 2] != 0x2F:
        return i
    while i < end and SPACE < text[i] < 0x80:
        i += 1
    return i


@kernel
def _strip(offsets: Integers, text: Bytes, kept: Bytes, starts: Integers, removed: Integers) -> None:
    at, never = 0, np.zeros(5, np.int64)
    for row in range(len(offsets) - 1):
        i, end = offsets[row], offsets[row + 1]
        never[:] = 0
        while i < end:
            c = text[i]
            j, kind = i, -1
            if c == TICK:
                j, kind = _code(text, i, end), 0
            elif c == DOLLAR:
                j, kind = _dollars(text, i, end, never), 1
            elif c == BACKSLASH:
                j, kind = _command(text, i, end, never), 1
            elif c == LESS:
                j = _tag(text, i, end)
            elif c == 0x3A:
                j = _address(text, i, end)
                while j > i and at > starts[row] and _letter(kept[at - 1]):
                    at -= 1
            if j == i:
                kept[at] = c
                at += 1
                i += 1
                continue
            if kind >= 0:
                for k in range(i, j):
                    removed[row, kind] += (text[k] & 0xC0) != 0x80
            kept[at] = SPACE
            at += 1
            i = j
        starts[row + 1] = at
