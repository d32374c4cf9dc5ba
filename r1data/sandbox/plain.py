"""Values that may cross the wall of the jail: a closed list of types as JSON, nothing that could run or compare itself.

Used on both sides; standard library only, because inside nothing else exists.
"""

from typing import Any

DEEPEST = 50
LONG_INTEGER = 1_000  # bits
_BASES = (dict, list, tuple, set, frozenset)
_SEQUENCES: dict[type, str] = {list: "l", tuple: "t", set: "s", frozenset: "s"}


def plain(value: Any, depth: int = 0) -> Any:
    """JSON for None, bool, int, str, float, complex, list, tuple, set, frozenset and dict of those.

    Types are compared exactly: a subclass could carry its own `__eq__`. Raises `ValueError` for anything else.
    """
    kind = type(value)
    if kind is int and value.bit_length() > LONG_INTEGER:
        return {"i": hex(value)}  # decimal digits have a limit, and a cost that grows with their square
    if value is None or kind in (bool, int, str):
        return value
    if kind in (float, complex):
        return {"f" if kind is float else "c": repr(value)}
    if depth > DEEPEST:
        raise ValueError("nested too deeply")
    base = next((b for b in _BASES if isinstance(value, b)), None)
    if base is not None and kind is not base and kind not in _SEQUENCES and kind is not dict:
        return plain(base(value), depth)  # a Counter is a dict, a namedtuple a tuple: their contents, nothing else
    if kind in _SEQUENCES:
        return {_SEQUENCES[kind]: [plain(v, depth + 1) for v in value]}
    if kind is dict:
        return {"d": [[plain(k, depth + 1), plain(v, depth + 1)] for k, v in value.items()]}
    raise ValueError(f"a {kind.__name__} is no plain value")


def value_of(told: Any) -> Any:
    """The value that `plain` wrote; raises `ValueError` or `TypeError` for what it could not have written."""
    if told is None or type(told) in (bool, int, str):
        return told
    ((tag, body),) = told.items()
    if tag == "i":
        return int(body, 16)
    if tag in ("f", "c"):
        return float(body) if tag == "f" else complex(body)
    if tag == "d":
        return {value_of(k): value_of(v) for k, v in body}
    make = {"l": list, "t": tuple, "s": set}[tag]
    return make(value_of(v) for v in body)
