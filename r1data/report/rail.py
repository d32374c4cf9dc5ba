"""The recipe as a picture: a line for every dataset and checkpoint, ways from what it was made from.

A way goes down from its beginning in a lane of its own and bends where it is used; a lane is free again after the last
use. The picture is as high as its lines, so that it can be read at any width.
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from r1data.html import Markup

ROW = 57.6  # 3.6 rem, as the style says
LANE = 15
EDGE = 10
BEND = 0.62


def lanes(order: Sequence[str], above: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """The lane of every node: no two ways share one at the same time."""
    last = {name: i for i, node in enumerate(order) for name in above[node]}
    held: list[str | None] = []
    found: dict[str, int] = {}
    for i, node in enumerate(order):
        for lane, holder in enumerate(held):
            if holder is not None and last.get(holder, -1) <= i:
                held[lane] = None
        lane = held.index(None) if None in held else len(held)
        held[lane : lane + 1] = [node if node in last else None]
        found[node] = lane
    return found


def rail(order: Sequence[str], above: Mapping[str, Iterable[str]], kinds: Mapping[str, str]) -> tuple[Markup, int]:
    """The drawing of all ways, one row a node, and how wide it is in pixels."""
    at = lanes(order, above)
    rows = {name: i for i, name in enumerate(order)}
    wide = 2 * EDGE + LANE * max(at.values(), default=0)
    high = ROW * len(order)
    x = {name: EDGE + LANE * lane for name, lane in at.items()}
    y = {name: ROW * (row + 0.5) for name, row in rows.items()}
    ways = [_way(x[a], y[a], [(x[n], y[n]) for n in order if a in above[n]], kinds[a]) for a in order]
    stops = [_stop(x[n], y[n], kinds[n]) for n in order]
    size = f'viewBox="0 0 {wide} {high:.1f}" width="{wide}" height="{high:.1f}"'
    return Markup(f'<svg {size} aria-hidden="true">{"".join(ways)}{"".join(stops)}</svg>'), wide


def _way(x: float, y: float, uses: Sequence[tuple[float, float]], kind: str) -> str:
    """One path: down to the last use, and a bend to each that has another lane."""
    if not uses:
        return ""
    path = f"M{x} {y:.1f}V{max(v if u == x else v - ROW * BEND for u, v in uses):.1f}"
    for u, v in uses:
        if u != x:
            path += f"M{x} {v - ROW * BEND:.1f}C{x} {v - ROW * 0.2:.1f} {u} {v - ROW * 0.45:.1f} {u} {v:.1f}"
    return f'<path class="way {escape(kind)}" d="{path}"/>'


def _stop(x: float, y: float, kind: str) -> str:
    if kind == "checkpoint":
        return f'<rect class="stop checkpoint" x="{x - 5}" y="{y - 5:.1f}" width="10" height="10" rx="2"/>'
    return f'<circle class="stop" cx="{x}" cy="{y:.1f}" r="5"/>'
