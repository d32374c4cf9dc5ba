"""Content hashes: of JSON values, of rows, of Arrow tables. Identity is always one of these, never a position.

A table's digest depends on its values alone: not on chunking, dictionary encoding, Parquet version or volatile columns.
"""

import hashlib
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def digest_bytes(data: bytes) -> str:
    """SHA-256 of bytes, hex."""
    return hashlib.sha256(data).hexdigest()


def digest_json(value: Any) -> str:
    """SHA-256 of a JSON value in one canonical spelling (sorted keys, no spaces)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return digest_bytes(text.encode())


def printable(value: Any) -> str:
    """A value as text that can be hashed and written as UTF-8: lone surrogates as escapes."""
    return str(value).encode("utf-8", "backslashreplace").decode()


def row_id(*parts: str | int | None) -> str:
    """A row's identity from the parts that make it what it is: 24 hex digits (96 bits)."""
    return digest_json(list(parts))[:24]


def seed_from(*parts: str | int) -> int:
    """A reproducible seed in [0, 2**31) from parts."""
    return int(digest_json(list(parts))[:8], 16) & 0x7FFFFFFF


def digest_table(table: pa.Table, volatile: frozenset[str] = frozenset()) -> str:
    """SHA-256 over the values of all columns that are not volatile, rows in order."""
    h = hashlib.sha256(str(table.num_rows).encode())
    for name in table.column_names:
        if name not in volatile:
            h.update(f"\0{name}\0".encode())
            _update(h, table.column(name).combine_chunks())
    return h.hexdigest()


def _update(h: "hashlib._Hash", column: pa.Array | pa.ChunkedArray) -> None:
    if isinstance(column, pa.ChunkedArray):  # combine_chunks of zero chunks stays chunked in some versions
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    h.update(column.is_valid().to_numpy(zero_copy_only=False).tobytes())
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        lengths = pc.fill_null(pc.list_value_length(column), 0).cast(pa.int64())
        h.update(lengths.to_numpy(zero_copy_only=False).tobytes())
        _update(h, column.flatten())
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        _update_text(h, pc.fill_null(column, "").cast(pa.large_string()))
    elif pa.types.is_boolean(kind):
        h.update(pc.fill_null(column, False).to_numpy(zero_copy_only=False).tobytes())
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
        wide = column.cast(pa.float64() if pa.types.is_floating(kind) else pa.int64())
        h.update(np.ascontiguousarray(pc.fill_null(wide, 0).to_numpy(zero_copy_only=False)).tobytes())
    else:
        raise TypeError(f"no digest for Arrow type {kind}")


def _update_text(h: "hashlib._Hash", column: pa.Array) -> None:
    lengths = pc.binary_length(column).cast(pa.int64())
    h.update(lengths.to_numpy(zero_copy_only=False).tobytes())
    h.update("".join(column.to_pylist()).encode("utf-8", "surrogatepass"))
