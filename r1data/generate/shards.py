"""From parts in the order of arrival to a dataset's shards: sorted, each candidate once, no problem in two shards.

Memory holds one shard: rows are first spilled to one local file a shard, in one pass over the parts.
"""

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.ipc

from r1data.generate.sampling import Prompt

SHARD_ROWS = 50_000


def sorted_shards(
    tables: Iterable[pa.Table], taken: Mapping[Prompt, int], scratch: Path, rows: int = SHARD_ROWS
) -> Iterator[pl.DataFrame]:
    """CANDIDATES of samples 0 to n - 1 of every prompt in `taken`, about `rows` a shard; problem_id is the prompt's."""
    wanted = _placed(taken, rows)
    scratch.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="shards-", dir=scratch))
    try:
        _spill(tables, wanted, folder)
        for shard in wanted["shard"].unique().sort():
            yield _read(folder / f"{shard}.arrow").unique("candidate_id", keep="first").sort("candidate_id")
    finally:
        shutil.rmtree(folder)


def _placed(taken: Mapping[Prompt, int], rows: int) -> pl.DataFrame:
    """prompt, problem_id, taken (samples), shard: problems in order, cut where a shard is full."""
    told = [(p.text, p.problem_id, n) for p, n in taken.items() if n]
    frame = pl.DataFrame(told, schema={"prompt": pl.String, "problem_id": pl.String, "taken": pl.Int64}, orient="row")
    sizes = frame.group_by("problem_id").agg(pl.col("taken").sum().alias("size")).sort("problem_id")
    shards = sizes.with_columns(shard=(pl.col("size").cum_sum() - pl.col("size")) // rows).drop("size")
    return frame.join(shards, on="problem_id", how="left")


def _spill(tables: Iterable[pa.Table], wanted: pl.DataFrame, folder: Path) -> None:
    files: dict[int, pa.ipc.RecordBatchStreamWriter] = {}
    try:
        for table in tables:
            found = pl.DataFrame(table).drop("problem_id").join(wanted, on="prompt", how="inner")
            found = (
                found.filter(pl.col("sample_index") < pl.col("taken"))
                .drop("taken")
                .select(*table.column_names, "shard")
            )
            for (shard,), rows in found.partition_by("shard", as_dict=True, include_key=False).items():
                batch = rows.to_arrow()
                if shard not in files:
                    files[shard] = pa.ipc.new_stream(str(folder / f"{shard}.arrow"), batch.schema)
                files[shard].write_table(batch)
    finally:
        for file in files.values():
            file.close()


def _read(path: Path) -> pl.DataFrame:
    with pa.ipc.open_stream(str(path)) as stream:
        return pl.DataFrame(stream.read_all())
