"""The graph around a point: as a tree of text, and as one HTML page that asks nothing of the network.

Columns are depths (the longest way from something without inputs), so every line goes to the right. The drawing is SVG
that stands without scripts; a script adds zoom, search, and what is up- and downstream of a click.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from html import escape

from r1data.html import document
from r1data.inspect.graph import Graph, Point
from r1data.inspect.picture_page import SCRIPT, STYLE

WIDTH, HEIGHT = 210, 40
ACROSS, DOWN = 280, 52
MARGIN = 20
LETTERS = 30
SWEEPS = 4


def tree(graph: Graph, path: str) -> Iterator[str]:
    """What a point was made from, line by line; what stands above already is named, not repeated."""
    seen: set[str] = set()
    stack = [(path, "", "", "")]
    while stack:
        here, role, head, indent = stack.pop()
        point = graph.points[here]
        known = here in seen and bool(point.parents)
        seen.add(here)
        yield f"{head}{role}{_line(graph, point)}{'  (see above)' if known else ''}"
        if not known:
            last = len(point.parents) - 1
            below = [
                (
                    p.path,
                    f"{p.role}: ",
                    indent + ("└─ " if i == last else "├─ "),
                    indent + ("   " if i == last else "│  "),
                )
                for i, p in enumerate(point.parents)
            ]
            stack += reversed(below)


def _line(graph: Graph, point: Point) -> str:
    if point.kind == "gone":
        return f"{point.name}  {point.digest[:12]}  (no longer in the lake)"
    what = f"{point.table}, " if point.table else "checkpoint, "
    held = [r for r in graph.refs.get(point.path, ()) if r != point.name]
    refs = f"  also {', '.join(held)}" if held else ""
    return f"{point.name}  {what}{point.holds}  by {point.step}  {point.digest[:12]}{refs}"


def page(graph: Graph, path: str) -> str:
    """The page of all that is up- and downstream of a point."""
    shown = {path} | graph.upstream([path]) | graph.downstream([path])
    order = [p for p in graph.order if p in shown]
    edges = [(a.path, p) for p in order for a in graph.points[p].parents if a.path in shown]
    places = layout(order, edges, graph.depths)
    number = {p: i for i, p in enumerate(order)}
    right = max(x for x, _ in places.values()) + WIDTH + MARGIN
    bottom = max(y for _, y in places.values()) + HEIGHT + MARGIN
    svg = [f'<svg id="graph" viewBox="0 0 {right} {bottom}" width="{right}" height="{bottom}" role="img">']
    svg += [_curve(places[a], places[b], number[a], number[b]) for a, b in edges]
    svg += [_box(graph.points[p], places[p], number[p], chosen=p == path) for p in order]
    told = [_told(graph, graph.points[p]) for p in order]
    data = json.dumps({"told": told, "edges": [(number[a], number[b]) for a, b in edges]}).replace("<", "\\u003c")
    point = graph.points[path]
    body = [
        f"<style>{STYLE}</style>",
        f"<p>{len(order):,} datasets and checkpoints, {len(edges):,} inputs; content {escape(point.digest[:12])}. "
        "Inputs are to the left. Drag to move, wheel to zoom, click for what is up- and downstream.</p>",
        '<form id="bar"><input id="find" type="search" placeholder="name, ref or digest" aria-label="search">'
        '<output id="hits"></output><button type="button" id="fit">whole graph</button>'
        '<button type="button" id="home">this one</button></form>',
        '<div id="frame" tabindex="0">',
        *svg,
        "</svg></div>",
        '<dl id="told" aria-live="polite"></dl>',
        f'<script type="application/json" id="data">{data}</script>',
        f"<script>const CHOSEN={number[path]};{SCRIPT}</script>",
    ]
    return document(f"Lineage of {point.name}", body)


def layout(
    order: Iterable[str], edges: Iterable[tuple[str, str]], depths: Mapping[str, int]
) -> dict[str, tuple[int, int]]:
    """Left upper corners of boxes by point: columns by depth, in a column near the mean of the neighbours."""
    columns: dict[int, list[str]] = defaultdict(list)
    for path in order:
        columns[depths[path]].append(path)
    ranks = {depth: i for i, depth in enumerate(sorted(columns))}
    above, below = defaultdict(list), defaultdict(list)
    for a, b in edges:
        above[b].append(a)
        below[a].append(b)
    place = {p: float(i) - len(column) / 2 for column in columns.values() for i, p in enumerate(column)}
    for sweep in range(SWEEPS):
        near = below if sweep % 2 else above
        for depth in sorted(columns, reverse=bool(sweep % 2)):
            column = columns[depth]
            wish = {p: sum(place[n] for n in near[p]) / len(near[p]) if near[p] else place[p] for p in column}
            column.sort(key=lambda p: wish[p])
            place |= {p: float(i) - len(column) / 2 for i, p in enumerate(column)}
    top = min(place.values(), default=0.0)
    return {
        p: (MARGIN + ranks[depth] * ACROSS, MARGIN + round((place[p] - top) * DOWN))
        for depth, column in columns.items()
        for p in column
    }


def _curve(a: tuple[int, int], b: tuple[int, int], start: int, end: int) -> str:
    x, y, u, v = a[0] + WIDTH, a[1] + HEIGHT // 2, b[0], b[1] + HEIGHT // 2
    bend = max(30, (u - x) // 2)
    return f'<path class="e" data-a="{start}" data-b="{end}" d="M{x} {y}C{x + bend} {y} {u - bend} {v} {u} {v}"/>'


def _box(point: Point, place: tuple[int, int], number: int, *, chosen: bool) -> str:
    name = point.name if len(point.name) <= LETTERS else "…" + point.name[1 - LETTERS :]
    what = point.kind if point.kind == "gone" else f"{point.table or point.step}, {point.holds}"
    return (
        f'<g class="n {point.kind}{" chosen" if chosen else ""}" data-i="{number}" '
        f'transform="translate({place[0]} {place[1]})"><title>{escape(point.name)}</title>'
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="6"/><text x="9" y="17">{escape(name)}</text>'
        f'<text class="what" x="9" y="32">{escape(what[: LETTERS + 4])}</text></g>'
    )


def _told(graph: Graph, point: Point) -> dict[str, str]:
    """What the page says about a point when it is clicked, and is searched."""
    told = {
        "name": point.name,
        "kind": point.kind,
        "table": point.table,
        "holds": point.holds,
        "step": point.step,
        "digest": point.digest,
        "place": point.path,
        "refs": ", ".join(graph.refs.get(point.path, ())),
        "earlier target of": ", ".join(graph.earlier.get(point.path, ())),
        "made from": ", ".join(f"{p.role}: {p.name}" for p in point.parents),
    }
    return {k: v for k, v in told.items() if v}
