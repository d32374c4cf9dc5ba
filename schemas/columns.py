"""Short constructors for Arrow fields, so that a table reads as a list of columns."""

import pyarrow as pa


def text(name: str, *, null: bool = False) -> pa.Field:
    """A UTF-8 column."""
    return pa.field(name, pa.large_string(), nullable=null)


def integer(name: str, *, null: bool = False) -> pa.Field:
    """A 64-bit integer column."""
    return pa.field(name, pa.int64(), nullable=null)


def number(name: str, *, null: bool = False) -> pa.Field:
    """A 64-bit float column."""
    return pa.field(name, pa.float64(), nullable=null)


def numbers(name: str, *, null: bool = False) -> pa.Field:
    """A column of lists of 32-bit floats."""
    return pa.field(name, pa.large_list(pa.float32()), nullable=null)


def flag(name: str, *, null: bool = False) -> pa.Field:
    """A boolean column."""
    return pa.field(name, pa.bool_(), nullable=null)


def hashes(name: str, *, null: bool = False) -> pa.Field:
    """A column of lists of 16-bit hashes."""
    return pa.field(name, pa.large_list(pa.uint16()), nullable=null)
