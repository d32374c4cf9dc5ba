"""Map steps, shard by shard, wherever they run: the work is small enough to be sent, its result is committed by key.

A shard that was computed before, by anybody, is taken as it is. So work that is lost half done, with the machine it ran
on, is sent again whole and only what was not finished is done.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import polars as pl
import pyarrow as pa

from r1data.digest import digest_table
from r1data.errors import LakeError
from r1data.manifest import Manifest, Shard, read_rows
from r1data.step import Node
from r1data.storage import Lake


@dataclass(frozen=True)
class MapWork:
    """Shards of a node to compute: of each the parts that its inputs have, and the inputs that all are given whole."""

    node: Node
    shards: tuple[Mapping[str, Shard], ...]
    whole: Mapping[str, Manifest]

    def divided(self, pieces: int) -> list["MapWork"]:
        """The work in order, in as many pieces of about the same size; fewer where there are fewer shards."""
        number = len(self.shards)
        cuts = [number * i // pieces for i in range(pieces + 1)]
        return [replace(self, shards=self.shards[a:b]) for a, b in pairwise(cuts) if b > a]


Spread = Callable[[Lake, MapWork], tuple[Shard, ...]]


def map_here(lake: Lake, work: MapWork) -> tuple[Shard, ...]:
    """The output's shards, computed in this process one after the other."""
    whole = {role: frame_of(lake, manifest) for role, manifest in work.whole.items()}
    return tuple(_map_shard(lake, work, parts, whole) for parts in work.shards)


def _map_shard(lake: Lake, work: MapWork, parts: Mapping[str, Shard], whole: Mapping[str, pl.DataFrame]) -> Shard:
    node = work.node
    key = node.key({**{r: s.digest for r, s in parts.items()}, **{r: m.digest for r, m in work.whole.items()}})
    pointer = f"shards/{key}.json"
    if known := lake.get(pointer):
        shard = Shard.model_validate_json(known)
        if lake.exists(shard.path):
            return shard
    frames = {r: pl.DataFrame(lake.read_table(s.path, s.sha256)) for r, s in parts.items()}
    assert node.step.run is not None, f"{node.step.name}: a map step without a function"
    result = node.step.run(params=node.params, **frames, **whole)
    assert isinstance(result, pl.DataFrame), f"{node.step.name} returned {type(result)}"
    shard = write_shard(lake, node, f"shards/{key}", conformed(node, result), key)
    lake.write(pointer, shard.model_dump_json().encode())
    return shard


def conformed(node: Node, frame: pl.DataFrame) -> pa.Table:
    """Rows as the node's table has them, sorted by its key, which no two may share."""
    output = node.step.output
    assert output is not None, f"{node.name}: only training has no output table"
    if frame.get_column(output.key).is_duplicated().any():
        raise LakeError(f"{node.name}: two rows with the same {output.key}", "this is a defect: report it")
    return output.conform(frame.sort(output.key).to_arrow())


def write_shard(lake: Lake, node: Node, name: str, table: pa.Table, key: str) -> Shard:
    """Write one shard of a node's output below the node's folder; what a manifest says of it."""
    output = node.step.output
    assert output is not None, f"{node.name}: only training has no output table"
    path = f"data/{node.name}/{name}.parquet"
    size, sha256 = lake.write_table(path, table)
    digest = digest_table(table, output.volatile)
    return Shard(path=path, rows=table.num_rows, bytes=size, sha256=sha256, digest=digest, key=key)


def frame_of(lake: Lake, manifest: Manifest) -> pl.DataFrame:
    """A dataset's rows as one Polars frame."""
    frame = pl.from_arrow(read_rows(lake, manifest))
    assert isinstance(frame, pl.DataFrame), manifest.name
    return frame
