"""Some rows of every kind: chosen by a hash of their keys and a seed, so that the same rows come back everywhere.

Keys and the columns of `by` are read first, shard by shard; then the chosen rows alone.
"""

import hashlib
from collections.abc import Iterator, Sequence

import polars as pl

from r1data.inspect.read import dataset, known, lake_of, lazy, table_of
from r1data.manifest import Manifest
from r1data.storage import Lake

ORDER, SHARD = "_order", "_shard"


def sample(
    ref: str, by: str | Sequence[str] | None = None, n: int = 10, seed: int = 0, lake: str | Lake | None = None
) -> pl.DataFrame:
    """`n` rows of each group of the columns `by` (of the whole dataset without), fewer where a group has fewer.

    Sorted by `by` and key; columns as in `schemas/`. A row is chosen by its key and the seed: another order of rows,
    other shards or rows of other groups change nothing. `ref` and `lake` as in `scan`.
    """
    if n < 0:
        raise ValueError(f"n = {n}: a number of rows is not negative")
    opened = lake_of(lake)
    manifest = dataset(opened, ref)
    groups = [by] if isinstance(by, str) else list(by or ())
    known(ref, lazy(opened, [s.path for s in manifest.shards]), groups)
    key = table_of(manifest).key
    chosen = _chosen(opened, manifest, key, groups, n, seed)
    return pl.concat(_rows(opened, manifest, key, chosen)).sort([*groups, key])


def _chosen(lake: Lake, manifest: Manifest, key: str, groups: list[str], n: int, seed: int) -> pl.DataFrame:
    """Key and shard of the rows with the least hashes of each group; one shard's keys in memory at a time."""
    best: pl.DataFrame | None = None
    for number, shard in enumerate(manifest.shards):
        found = lazy(lake, [shard.path]).select(list(dict.fromkeys((key, *groups)))).collect()
        order = pl.Series(ORDER, [_order(seed, k) for k in found[key]], pl.UInt64)
        found = found.with_columns(order, pl.lit(number).alias(SHARD))
        best = found if best is None else pl.concat([best, found])
        best = best.sort(ORDER, key)
        best = best.group_by(groups, maintain_order=True).head(n).select(found.columns) if groups else best.head(n)
    assert best is not None, f"{manifest.path}: a dataset has a shard"
    return best


def _rows(lake: Lake, manifest: Manifest, key: str, chosen: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The chosen rows, whole; row groups whose range of keys holds none are not read."""
    yield lazy(lake, [manifest.shards[0].path]).head(0).collect()
    for (number,), part in chosen.group_by(SHARD, maintain_order=True):
        assert isinstance(number, int), "the shard's place"
        yield lazy(lake, [manifest.shards[number].path]).filter(pl.col(key).is_in(part[key].to_list())).collect()


def _order(seed: int, key: str) -> int:
    """64 bits that seed and key alone decide, in any version of anything."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{key}".encode(), digest_size=8).digest(), "big")
