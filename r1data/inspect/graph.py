"""The graph of everything that refs reach: their targets of now and before, and what those came from, by manifests.

A point is a directory (one dataset or checkpoint), an edge is an input. What a step uses is known by content, so what
is downstream of a content is downstream of every directory that holds the same.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Literal

from r1data.errors import LakeError, MissingManifest
from r1data.inspect.find import SHORTEST
from r1data.inspect.show import amount
from r1data.manifest import Manifest, Parent, read_manifest
from r1data.refs import list_refs, read_ref, target
from r1data.storage import Lake

READERS = 16
NAMED = ("name", "url", "path", "file")


@dataclass(frozen=True)
class Point:
    """One dataset or checkpoint: what a graph needs of its manifest. Kind `gone`: its manifest is not there."""

    path: str
    name: str
    kind: Literal["dataset", "checkpoint", "gone"]
    digest: str
    table: str = ""
    step: str = ""
    holds: str = ""
    finished: float = 0.0
    parents: tuple[Parent, ...] = ()
    sources: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Graph:
    """Points by directory, and the refs that point at them now and pointed at them before."""

    points: Mapping[str, Point]
    refs: Mapping[str, tuple[str, ...]]
    earlier: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @cached_property
    def users(self) -> Mapping[str, tuple[str, ...]]:
        """Directories made from a content, by its digest."""
        found: dict[str, dict[str, None]] = defaultdict(dict)
        for point in self.points.values():
            for parent in point.parents:
                found[parent.digest][point.path] = None
        return {digest: tuple(paths) for digest, paths in found.items()}

    @cached_property
    def order(self) -> tuple[str, ...]:
        """All directories, inputs before what was made from them."""
        depths = self.depths
        return tuple(sorted(self.points, key=lambda p: (depths[p], self.points[p].name, self.points[p].finished, p)))

    @cached_property
    def depths(self) -> Mapping[str, int]:
        """The longest way from a point without inputs, in steps."""
        depths: dict[str, int] = {}
        for start in self.points:
            stack = [start]
            while stack:
                path = stack[-1]
                above = [p.path for p in self.points[path].parents]
                missing = [p for p in above if p not in depths]
                if missing and path not in depths:
                    stack += missing
                else:
                    depths.setdefault(path, 1 + max((depths[p] for p in above), default=-1))
                    stack.pop()
        return depths

    def downstream(self, paths: Iterable[str]) -> set[str]:
        """Everything made from these, from what was made from these, and so on; themselves left out."""
        return _closure(paths, lambda p: self.users.get(self.points[p].digest, ()))

    def upstream(self, paths: Iterable[str]) -> set[str]:
        """Everything that these were made from; themselves left out."""
        return _closure(paths, lambda p: [a.path for a in self.points[p].parents])

    def named(self, start: str) -> list[str]:
        """Directories of a ref's current target, or of the one content whose digest begins so; [] for neither."""
        found = [path for path, names in self.refs.items() if start in names]
        if found or len(start) < SHORTEST:
            return found
        digests = {p.digest for p in self.points.values() if p.digest.startswith(start)}
        if len(digests) > 1:
            told = ", ".join(sorted(d[:16] for d in digests)[:5])
            raise LakeError(f"{len(digests)} contents begin with {start}: {told}", "give more characters")
        return [p.path for p in self.points.values() if p.digest in digests]


def _closure(paths: Iterable[str], more: Any) -> set[str]:
    start = set(paths)
    found: set[str] = set()
    edge = list(start)
    while edge:
        new = {p for path in edge for p in more(path)} - found
        found |= new
        edge = list(new)
    return found - start


def read_graph(lake: Lake, only: Iterable[str] | None = None) -> Graph:
    """Every manifest that refs reach, now, before or as an input; read some at a time, and only the points are kept.

    With `only`, what these refs reach now or as an input: what that reads does not grow with the lake's age.
    """
    refs: dict[str, list[str]] = defaultdict(list)
    earlier: dict[str, list[str]] = defaultdict(list)
    digests: dict[str, str] = {}
    for name in list_refs(lake) if only is None else only:
        ref = read_ref(lake, name)
        history = ref.history if only is None else ()
        refs[ref.current.path].append(name)
        for before in history:
            earlier[before.path].append(name)
        digests |= {t.path: t.digest for t in (ref.current, *history)}
    points: dict[str, Point] = {}
    names = {path: found[0] for path, found in (*earlier.items(), *refs.items())}
    with ThreadPoolExecutor(READERS) as pool:
        wave = list(digests)
        while wave:
            found = pool.map(partial(_point, lake), wave, [names[p] for p in wave], [digests[p] for p in wave])
            points |= {p.path: p for p in found}
            parents = [a for path in wave for a in points[path].parents]
            names |= {a.path: a.name for a in parents}
            digests |= {a.path: a.digest for a in parents if a.path not in points}
            wave = [p for p in dict.fromkeys(a.path for a in parents) if p not in points]
    return Graph(points, {p: tuple(n) for p, n in refs.items()}, {p: tuple(n) for p, n in earlier.items()})


def _point(lake: Lake, path: str, name: str, digest: str) -> Point:
    try:
        m = read_manifest(lake, path)
    except MissingManifest:
        return Point(path, name, "gone", digest)
    table = (m.table or "").partition("/")[0]
    sources = tuple(_sources(m.params))
    return Point(path, m.name, m.kind, m.digest, table, m.step, amount(m), m.finished, m.parents, sources)


def _sources(params: Any) -> Iterable[tuple[str, ...]]:
    """Name, URL or file of everything in a step's parameters that has one, and each file's own name."""
    if isinstance(params, dict):
        told = tuple(str(params[key]) for key in NAMED if params.get(key))
        if told:
            yield (*told, *(t.rpartition("/")[2] for t in told if "/" in t))
        for value in params.values():
            yield from _sources(value)
    elif isinstance(params, list):
        for value in params:
            yield from _sources(value)


def manifest_at(lake: Lake, graph: Graph | None, name: str) -> Manifest:
    """The manifest of a ref, of REF@DIGEST, of a directory or of the beginning of a digest; `LakeError` for another.

    All but a digest is found without the graph, which reads every manifest: None lets it be read where it is needed.
    """
    if "@" in name or "/" in name:
        manifest = target(lake, name)
        if graph is not None and manifest.path not in graph.points:
            raise LakeError(f"{name}: no ref reaches it, so it is not in the graph", "`r1 status` lists the refs")
        return manifest
    found = (graph or read_graph(lake)).named(name)
    if not found:
        raise LakeError(f"{lake.url}: {name!r} is no ref and no digest begins so", "`r1 status` lists refs and digests")
    return read_manifest(lake, found[0])
