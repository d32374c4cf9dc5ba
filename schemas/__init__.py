"""Tables of the lake: one Arrow schema a module, each with a name, a version and a key; no imports from above."""

from schemas.table import TableSchema
from schemas.tables import TABLES

__all__ = ["TABLES", "TableSchema"]
