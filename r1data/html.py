"""Pieces of the pages: their style, sections, tables, text of models. What is not `Markup` is escaped here.

A page fetches nothing, follows the reader's light or dark setting, and is as wide as the screen and no wider.
"""

import re
from collections.abc import Iterable, Sequence
from html import escape

from r1data.html_style import STYLE

# Cells that stand right in their column: figures, with sign, unit or interval.
FIGURE = re.compile(r"-|[+-]?[\d,]*\.?\d+( ?%)?( to [+-]?[\d,]*\.?\d+)?( ?%)?( x [\d.]+| [A-Z]{3}| \([^)]*\))?")
# A text with more characters or lines than these opens on a click.
LONG, LINES = 480, 12


class Markup(str):
    """Markup of our own, which goes into a page as it is."""

    __slots__ = ()


def marked(text: str) -> str:
    """Text as it may stand in a page: escaped unless it is our markup."""
    return text if isinstance(text, Markup) else escape(text)


def document(title: str, body: Iterable[str], contents: Sequence[tuple[str, str]] = ()) -> str:
    """A whole page; `contents`: (id, title) of its sections, for a bar of links that stays in sight."""
    links = "".join(f'<a href="#{escape(name)}">{escape(told)}</a>' for name, told in contents)
    bar = f'<nav aria-label="contents">{links}</nav>' if links else ""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{STYLE}</style></head>\n'
        f"<body{' class=long' if links else ''}>{bar}<main><h1>{escape(title)}</h1>\n{chr(10).join(body)}\n"
        "</main></body></html>\n"
    )


def section(name: str, title: str, body: Iterable[str]) -> Markup:
    """A part of the page that the contents point to."""
    return Markup(f'<section id="{escape(name)}">{heading(title)}\n{chr(10).join(body)}</section>')


def heading(text: str, level: int = 2, name: str = "") -> Markup:
    """A heading of the page, with the name that links use."""
    named = f' id="{escape(name)}"' if name else ""
    return Markup(f"<h{level}{named}>{escape(text)}</h{level}>")


def paragraph(text: str) -> Markup:
    """A line of explanation."""
    return Markup(f"<p>{marked(text)}</p>")


def table(head: Sequence[str], body: Iterable[Sequence[str]]) -> Markup:
    """A table that scrolls sideways where the page is narrow; columns of figures stand right."""
    rows = [tuple(row) for row in body]
    right = [bool(rows) and all(FIGURE.fullmatch(row[i]) for row in rows) for i in range(len(head))]
    top = "".join(f'<th scope="col"{_side(r)}>{marked(c)}</th>' for c, r in zip(head, right, strict=True))
    lines = "".join(
        "<tr>" + "".join(f"<td{_side(r)}>{_cell(c)}</td>" for c, r in zip(row, right, strict=True)) + "</tr>\n"
        for row in rows
    )
    return Markup(f'<div class="scroll" tabindex="0"><table><tr>{top}</tr>\n{lines}</table></div>')


def _cell(text: str) -> str:
    """Names of nodes may break after a slash."""
    return marked(text) if isinstance(text, Markup) else escape(text).replace("/", "/<wbr>")


def _side(right: bool) -> str:
    return ' class="n"' if right else ""


def said(text: str) -> Markup:
    """What a model wrote, as it wrote it; long text is folded."""
    whole = f"<pre>{escape(text)}</pre>"
    if len(text) <= LONG and text.count("\n") < LINES:
        return Markup(whole)
    first = " ".join(text[:LONG].split())[:120]
    return folded(f"{first}… ({len(text):,} characters)", whole)


def figure(told: str, svg: str, caption: str = "") -> Markup:
    """A drawing with its words for those who do not see it; the drawing itself must be ours."""
    above = f"<figcaption>{marked(caption)}</figcaption>" if caption else ""
    return Markup(f'<figure>{above}<div role="img" aria-label="{escape(told)}">{svg}</div></figure>')


def bar(start: float, length: float, kind: str = "") -> Markup:
    """A part of a whole as a bar: where it begins and how long it is, both as shares."""
    x, w = 100 * min(max(start, 0.0), 1.0), 100 * min(max(length, 0.0), 1.0)
    return Markup(
        '<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="whole" width="100" height="10"/><rect class="{escape(kind or "part")}" x="{x:.2f}" '
        f'width="{max(w, 0.6 if length else 0):.2f}" height="10"/></svg>'
    )


def span(value: float, low: float, high: float) -> Markup:
    """A share with its interval, on a scale from 0 to 1."""
    at = 100 * min(max(value, 0.0), 1.0)
    return Markup(
        '<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="whole" width="100" height="10"/><rect class="upto" width="{at:.2f}" height="10"/>'
        f'<rect class="part" x="{100 * low:.2f}" y="2" width="{max(100 * (high - low), 0.8):.2f}" height="6"/></svg>'
    )


def tile(label: str, value: str, *lines: str, kind: str = "") -> Markup:
    """One figure that people look for first, with what it is and what stands beside it."""
    told = "".join(f"<span>{marked(line)}</span>" for line in lines if line)
    return Markup(f'<div class="tile {escape(kind)}"><span>{marked(label)}</span><b>{marked(value)}</b>{told}</div>')


def folded(title: str, body: str) -> Markup:
    """A part that opens on a click; the body must be markup."""
    return Markup(f"<details><summary>{marked(title)}</summary>{body}</details>")


def command(line: str, told: str) -> Markup:
    """A command to copy, and what it answers."""
    return Markup(f"<div class=command><code>{escape(line)}</code><span>{marked(told)}</span></div>")
