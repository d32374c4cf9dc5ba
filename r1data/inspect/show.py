"""What a ref points to, in people's words: facts as (label, text) lines, and the first rows."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl

from r1data.inspect.lengths import pair_lengths
from r1data.manifest import Manifest
from r1data.refs import find_ref, target
from r1data.storage import Lake

ROWS = 3
EARLIER = 5
LONGEST = 100


@dataclass(frozen=True)
class Shown:
    """Facts in reading order, and the first rows of a dataset (none of a checkpoint)."""

    facts: tuple[tuple[str, str], ...]
    rows: tuple[dict[str, Any], ...]


def show(lake: Lake, ref: str, rows: int = ROWS) -> Shown:
    """Size, origin, parameters, counts, checks and code of what is named as in `scan`, with a dataset's first rows."""
    manifest = target(lake, ref)
    return Shown(tuple(_facts(lake, ref, manifest)), _first(lake, manifest, rows))


def age(seconds: float) -> str:
    """A duration as one number and unit."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def amount(manifest: Manifest) -> str:
    """Rows of a dataset, training steps of a checkpoint."""
    if manifest.kind == "dataset":
        return f"{manifest.rows:,} rows"
    return f"{manifest.counts['steps']:,} steps" if "steps" in manifest.counts else f"{len(manifest.files)} files"


def check_pages(lake: Lake, manifest: Manifest) -> list[str]:
    """URIs of the pages that tell what was checked, beside a dataset or a checkpoint."""
    return [lake.uri(name) for name in lake.names(f"{manifest.path}/_checks") if name.endswith(".html")]


def _facts(lake: Lake, ref: str, manifest: Manifest) -> Iterator[tuple[str, str]]:
    size = sum(e.bytes for e in manifest.entries)
    took, since = manifest.finished - manifest.started, time.time() - manifest.finished
    what = manifest.table or manifest.step
    yield ref, f"{manifest.kind} of {what}, {amount(manifest)} in {len(manifest.entries)} files, {size:,} bytes"
    yield "where", lake.uri(manifest.path)
    yield "digest", manifest.digest
    yield "made by", f"{manifest.step} version {manifest.version} in {took:.1f} s, {age(since)} ago"
    if name := find_ref(lake, ref):
        earlier = ", ".join(t.digest[:12] for t in name.history[:EARLIER])
        more = f" and {len(name.history) - EARLIER} more" if len(name.history) > EARLIER else ""
        yield "earlier", f"{earlier}{more} (r1 rollback {ref} goes back by one)" if earlier else "no earlier target"
    yield from (("from", f"{p.role}: {p.name} {p.digest[:12]}") for p in manifest.parents)
    yield from (("count", f"{name} {number:,}") for name, number in manifest.counts.items())
    yield from (("dropped", f"{reason} {n:,}") for reason, n in _reasons(lake, manifest))
    yield from (("lengths", f"{told}: {text}") for told, text in pair_lengths(lake, manifest))
    yield from (("check", _check(c)) for c in manifest.checks)
    yield from (("page", page) for page in check_pages(lake, manifest))
    yield from (("param", f"{name} = {short(value)}") for name, value in flat(manifest.params))
    yield from (("code", f"{name} {value}") for name, value in manifest.code.items())
    yield from (("label", f"{name} {value}") for name, value in manifest.labels.items())


def _first(lake: Lake, manifest: Manifest, rows: int) -> tuple[dict[str, Any], ...]:
    if manifest.kind != "dataset":
        return ()
    shard = manifest.shards[0]
    return tuple(pl.DataFrame(lake.read_table(shard.path, shard.sha256)).head(rows).to_dicts())


def _reasons(lake: Lake, manifest: Manifest) -> list[tuple[str, int]]:
    if not (manifest.table or "").startswith("drops/"):
        return []
    tables = [pl.DataFrame(lake.read_table(s.path, s.sha256, ["gate", "reason"])) for s in manifest.shards]
    counted = pl.concat(tables).group_by("gate", "reason").len("rows")
    counted = counted.sort("rows", "gate", "reason", descending=[True, False, False])
    return [(f"{gate}: {reason}", n) for gate, reason, n in counted.iter_rows()]


def _check(check: dict[str, Any]) -> str:
    held = "held" if check.get("success") else f"FAILED on {check.get('failing')} rows"
    return f"{check.get('expectation')} {check.get('column') or ''}: {held}".replace(" :", ":")


def flat(params: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Parameters one a line: `sampling.samples`, `sources[0].name`."""
    for name, value in params.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{prefix}{name}.")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for i, part in enumerate(value):
                yield from flat(part, f"{prefix}{name}[{i}].")
        else:
            yield f"{prefix}{name}", value


def short(value: object) -> str:
    """A value as Python writes it, cut where it is long."""
    text = repr(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
