"""What a ref points to, in people's words."""

import json

import polars as pl

from r1data.manifest import Manifest
from r1data.refs import read_ref
from r1data.storage import Lake

ROWS = 5


def described(lake: Lake, ref: str, manifest: Manifest) -> str:
    """Rows, files, parents, parameters and code of a manifest."""
    size = sum(e.bytes for e in manifest.entries)
    lines = [
        f"{ref}   {manifest.kind}   {manifest.table or manifest.step}",
        f"  path      {lake.uri(manifest.path)}",
        f"  digest    {manifest.digest}",
        f"  made by   {manifest.step} version {manifest.version} in {manifest.finished - manifest.started:.1f} s",
        f"  rows      {manifest.rows:,} in {len(manifest.shards)} shards, {size:,} bytes",
        f"  counts    {json.dumps(manifest.counts)}",
        f"  checks    {len(manifest.checks)} expectations held",
        f"  code      {json.dumps(manifest.code)}",
        f"  history   {len(read_ref(lake, ref).history)} earlier targets",
    ]
    lines += [f"  parent    {p.role}: {p.name} {p.digest[:12]} {p.path}" for p in manifest.parents]
    lines += [f"  param     {k} = {json.dumps(v, ensure_ascii=False)}" for k, v in manifest.params.items()]
    return "\n".join(lines)


def first_rows(lake: Lake, manifest: Manifest) -> pl.DataFrame | None:
    """The first rows of a dataset; None for a checkpoint."""
    if manifest.kind != "dataset":
        return None
    shard = manifest.shards[0]
    return pl.DataFrame(lake.read_table(shard.path, shard.sha256)).head(ROWS)
