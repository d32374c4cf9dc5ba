"""Everything downstream of a ref, a content, a source or a row: what has to be made again if it changes or goes.

Of a row (or of the rows of a source) ids are followed: a dataset whose ids name none of them is not touched by them.
What has no ids (evaluations, trained weights) counts as touched by all that it was made from.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import polars as pl

from r1data.errors import LakeError
from r1data.ids import ID_COLUMNS, id_columns
from r1data.inspect.find import SHORTEST, ids_from, one_of, rollouts_of
from r1data.inspect.followed import Followed, following
from r1data.inspect.graph import Graph, Point
from r1data.inspect.read import lazy, reading, table_of
from r1data.manifest import FileEntry, Manifest, Shard, read_manifest
from r1data.storage import Lake
from schemas import TABLES, TableSchema


@dataclass(frozen=True)
class Touched:
    """A dataset or checkpoint, how many of its rows name what was asked for (None: it was made from it as a whole)."""

    point: Point
    rows: int | None
    refs: tuple[str, ...]
    earlier: tuple[str, ...]


@dataclass(frozen=True)
class Impact:
    """What was understood by the question, and what is downstream, inputs first."""

    asked: str
    touched: tuple[Touched, ...]


def impact(lake: Lake, graph: Graph, what: str) -> Impact:
    """Downstream of a ref, the beginning of a digest, a source's name or file, or the beginning of a row's id."""
    found = graph.named(what)
    if found:
        point = graph.points[found[0]]
        below = dict.fromkeys(graph.downstream(found))
        return Impact(f"{point.kind} {point.name}, content {point.digest[:12]}", _told(graph, below))
    sources = _sources(graph, what)
    if sources:
        rows = _follow(lake, graph, set(), sources)
        if not rows:  # its rows do not tell their source: all that was made where it was read
            seeds = [p.path for p in graph.points.values() if any(what in s for s in p.sources)]
            rows = dict.fromkeys({*seeds, *graph.downstream(seeds)})
        return Impact(f"source {', '.join(sorted(sources))}", _told(graph, rows))
    ids = ids_from(lake, _Read(lake, graph), what) if len(what) >= SHORTEST else set()
    if not ids:
        told = f"{lake.url}: {what!r} is no ref, digest, source or row"
        raise LakeError(told, "refs and digests: `r1 status`; rows: `r1 show REF`; sources: those of a recipe")
    whole = one_of(ids, what)
    return Impact(f"row {whole}", _told(graph, _follow(lake, graph, {whole}, set())))


class _Read(Mapping[str, Manifest]):
    """The manifests of a graph by directory, each read when it is come to: one is in memory at a time."""

    def __init__(self, lake: Lake, graph: Graph) -> None:
        self._lake, self._paths = lake, tuple(p.path for p in graph.points.values() if p.kind != "gone")

    def __getitem__(self, path: str) -> Manifest:
        return read_manifest(self._lake, path)

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


def _told(graph: Graph, rows: dict[str, int | None]) -> tuple[Touched, ...]:
    return tuple(
        Touched(graph.points[p], rows[p], graph.refs.get(p, ()), graph.earlier.get(p, ()))
        for p in graph.order
        if p in rows and graph.points[p].kind != "gone"
    )


def _sources(graph: Graph, what: str) -> set[str]:
    """The names of the sources that are called so, or read from a file or URL of that name."""
    return {s[0] for p in graph.points.values() for s in p.sources if what in s}


def _follow(lake: Lake, graph: Graph, rows: set[str], sources: set[str]) -> dict[str, int | None]:
    """How many of the rows that come from those rows or sources each directory names.

    One pass, inputs first, one file's id columns in memory at a time: a row is named only below where it was made.
    """
    found: dict[str, int | None] = {}
    with following(rows) as ids:
        for path in graph.order:
            point = graph.points[path]
            if point.kind == "gone":
                continue
            above = [p.path for p in point.parents if p.path in found]
            if any(found[p] is None for p in above):
                found[path] = None
                continue
            manifest = read_manifest(lake, path)
            number = sum(_count(lake, table, file, ids, sources) for table, file in _files(manifest))
            if number:
                found[path] = None if point.kind == "checkpoint" else number
            elif above and _bare(manifest):
                found[path] = None
    return found


def _files(manifest: Manifest) -> Iterable[tuple[TableSchema, Shard | FileEntry]]:
    """Files of rows with ids."""
    if manifest.kind == "checkpoint":
        return ((TABLES["rollouts"], f) for f in rollouts_of(manifest))
    table = table_of(manifest)
    return ((table, shard) for shard in manifest.shards)


def _bare(manifest: Manifest) -> bool:
    """Whether nothing in it says which rows it was made from."""
    if manifest.kind == "checkpoint":
        return not rollouts_of(manifest)
    return not set(ID_COLUMNS) & set(table_of(manifest).schema.names)


def _count(lake: Lake, table: TableSchema, file: Shard | FileEntry, ids: Followed, sources: set[str]) -> int:
    """How many rows of a file name one of `ids` or come from one of `sources`; their own ids join `ids`."""
    tests = [_from_source(name) for name in sources if "source" in table.schema.names]
    columns, few = id_columns(table), ids.few
    with reading(lake, file.path):
        if few is not None:
            tests += [pl.col(c).is_in(few) for c in columns] if few else []
            rows = lazy(lake, [file.path]).filter(pl.any_horizontal(tests)) if tests else None
            keys = rows.select(table.key).collect()[table.key] if rows is not None else pl.Series([], dtype=pl.String)
        else:
            told = pl.any_horizontal(tests) if tests else pl.lit(False)
            frame = lazy(lake, [file.path]).select(*columns, told.fill_null(False).alias("")).collect()
            keys = _named(frame, table.key, ids)
    ids.add(keys)
    return len(keys)


def _named(frame: pl.DataFrame, key: str, ids: Followed) -> pl.Series:
    """Keys of rows that are marked, or name one of `ids`; few rows have to be looked for by their own key."""
    found = frame[""]
    for column in (*(c for c in frame.columns if c not in ("", key)), key):
        rest = frame.select(pl.when(~found).then(column))[column]
        found |= ids.among(rest).fill_null(False)
    return frame.filter(found)[key]


def _from_source(name: str) -> pl.Expr:
    """Whether a row's `source` is that source: its name alone, or followed by the URL that it was read from."""
    column = pl.col("source")
    return (column == name) | column.str.starts_with(f"{name}: ") | column.str.starts_with(f"{name}, ")
