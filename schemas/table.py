"""`TableSchema`: an Arrow schema with identity (name, version), key column and volatile columns.

Invariant: a committed snapshot (`schemas/snapshots/NAME-VERSION.json`) never changes; a changed
schema takes a new version.
"""

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa


class SchemaError(ValueError):
    """A frame does not fit its declared table: names the table, the column and what was expected."""


@dataclass(frozen=True)
class TableSchema:
    """One table: columns in order, the key that rows are sorted by, and columns outside the logical digest."""

    name: str
    version: int
    key: str
    schema: pa.Schema
    volatile: frozenset[str] = field(default=frozenset())

    @property
    def id(self) -> str:
        """`NAME/VERSION`, as manifests write it."""
        return f"{self.name}/{self.version}"

    def describe(self) -> dict[str, Any]:
        """The snapshot: what a reader of the table may rely on."""
        columns = [{"name": f.name, "type": str(f.type), "nullable": f.nullable} for f in self.schema]
        volatile = sorted(self.volatile)
        return {"name": self.name, "version": self.version, "key": self.key, "columns": columns, "volatile": volatile}

    def conform(self, table: pa.Table) -> pa.Table:
        """The table cast to this schema, columns in order; `SchemaError` names the column that does not fit."""
        missing = [f.name for f in self.schema if f.name not in table.column_names]
        extra = [c for c in table.column_names if c not in self.schema.names]
        if missing or extra:
            raise SchemaError(f"table {self.id}: missing columns {missing}, unexpected columns {extra}")
        columns = [self._column(table, f) for f in self.schema]
        return pa.Table.from_arrays(columns, schema=self.schema)

    def empty(self) -> pa.Table:
        """A table with no rows."""
        return self.schema.empty_table()

    def _column(self, table: pa.Table, field_: pa.Field) -> pa.ChunkedArray:
        column = table.column(field_.name)
        try:
            cast = column.cast(field_.type)
        except pa.ArrowInvalid as e:
            raise SchemaError(f"table {self.id}, column {field_.name}: {e}") from e
        if not field_.nullable and cast.null_count:
            raise SchemaError(f"table {self.id}, column {field_.name}: {cast.null_count} nulls where none is allowed")
        return cast
