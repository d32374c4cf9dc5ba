"""`_ids.parquet` beside a large dataset: which of its files an id is in, so that a row is found without reading all.

Columns: id (the first START characters of an id of any id column) and file (place of the shard in the manifest);
sorted, each pair once. The manifest names it with its SHA-256; a dataset without one is searched file by file.
"""

import polars as pl
import pyarrow as pa

from r1data.manifest import FileEntry, Manifest
from r1data.storage import Lake
from schemas import TABLES, TableSchema

IDS = "_ids.parquet"
ID_COLUMNS = ("problem_id", "parent_id", "candidate_id", "row_id", "chosen_id", "rejected_id")
START = 12
LEAST_ROWS = 50_000


def id_columns(table: TableSchema) -> list[str]:
    """A table's key, and the columns that name rows of others."""
    return [c for c in dict.fromkeys((table.key, *ID_COLUMNS)) if c in table.schema.names]


def write_ids(lake: Lake, manifest: Manifest, least_rows: int = LEAST_ROWS) -> FileEntry | None:
    """Write the index of a dataset whose files are in the lake; none for a small one. Only id columns are read."""
    if manifest.kind != "dataset" or manifest.rows < least_rows:
        return None
    columns = id_columns(TABLES[str(manifest.table).partition("/")[0]])
    starts = [
        pl.concat(batch[c].alias("id") for c in columns).str.head(START).unique().to_frame().with_columns(file=i)
        for i, s in enumerate(manifest.shards)
        for batch in [pl.DataFrame(pa.Table.from_batches(list(lake.batches(s.path, columns))))]
    ]
    table = pl.concat(starts).cast({"file": pl.UInt32}).drop_nulls().sort("id", "file").to_arrow()
    path = f"{manifest.path}/{IDS}"
    size, sha256 = lake.write_table(path, table)
    return FileEntry(path=path, bytes=size, sha256=sha256)


def index_of(manifest: Manifest) -> str | None:
    """The index of a dataset, if it has one."""
    return next((f.path for f in manifest.beside if f.path.endswith(f"/{IDS}")), None)
