"""The graph around a point: as a tree of text, and as one HTML page that asks nothing of the network.

Of thousands of points the page shows stages first, each one box that opens on a click; the search looks into all.
"""

import json
from collections.abc import Iterator
from html import escape

from r1data.html import document
from r1data.inspect.graph import Graph, Point
from r1data.inspect.picture_page import SCRIPT, STYLE

FIELDS = ("name", "kind", "table", "holds", "step", "digest", "place", "refs", "earlier target of", "depth")
BUTTONS = (
    *(("fit", "whole graph"), ("home", "this one"), ("fold", "by stage"), ("all", "open all")),
    *(("in", "+"), ("out", "&minus;")),
)


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
    """The page of all that is up- and downstream of a point; a script draws it, so that thousands can be folded."""
    shown = {path} | graph.upstream([path]) | graph.downstream([path])
    order = [p for p in graph.order if p in shown]
    number = {p: i for i, p in enumerate(order)}
    edges = [(number[a.path], number[p], a.role) for p in order for a in graph.points[p].parents if a.path in shown]
    roles = sorted({role for *_, role in edges})
    data = {
        "fields": FIELDS,
        "points": [_row(graph, graph.points[p]) for p in order],
        "edges": [(a, b, roles.index(role)) for a, b, role in edges],
        "roles": roles,
        "chosen": number[path],
    }
    point, told = graph.points[path], json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    body = [
        f"<style>{STYLE}</style>",
        f"<p>{len(order):,} datasets and checkpoints, {len(edges):,} inputs; content {escape(point.digest[:12])}. "
        "Inputs are to the left. A stacked box is a group: click to open it. Click another for what is up- and "
        "downstream. Drag to move, wheel or pinch to zoom.</p>",
        "<noscript><p>The graph needs scripts; `r1 lineage show` prints it as text.</p></noscript>",
        '<form id="bar"><input id="find" type="search" placeholder="name, ref or digest" aria-label="search">',
        *(f'<button type="button" id="{name}">{words}</button>' for name, words in BUTTONS),
        '<output id="hits"></output></form><ol id="list"></ol><div id="open"></div>',
        '<div id="frame"><svg id="graph" role="group" aria-label="the graph"></svg></div>',
        '<dl id="told" aria-live="polite"></dl>',
        f'<script type="application/json" id="data">{told}</script>',
        f"<script>{SCRIPT}</script>",
    ]
    return document(f"Lineage of {point.name}", body)


def _row(graph: Graph, point: Point) -> tuple[str | int, ...]:
    """What the page says about a point when it is clicked, and is searched: FIELDS."""
    refs, earlier = graph.refs.get(point.path, ()), graph.earlier.get(point.path, ())
    return (
        *(point.name, point.kind, point.table, point.holds, point.step, point.digest, point.path),
        *(", ".join(refs), ", ".join(earlier), graph.depths[point.path]),
    )
