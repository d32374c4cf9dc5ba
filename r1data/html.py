"""Pieces of the page: its style, tables, text of models. Everything that goes through here is escaped."""

from collections.abc import Iterable, Sequence
from html import escape

STYLE = """
:root{color-scheme:light dark;--ink:#1c2430;--soft:#5b6472;--line:#d9dee6;--card:#f6f8fb;--page:#fff;--accent:#2f6fdb}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#9aa5b5;--line:#333c4a;--card:#1b222c;--page:#12171e;
--accent:#7aa7f7}}
*{box-sizing:border-box}
body{font:15px/1.55 system-ui,sans-serif;color:var(--ink);background:var(--page)}
body{margin:0 auto;max-width:72rem;padding:1rem clamp(.8rem,3vw,2rem)}
h1{font-size:1.6rem;margin:.2rem 0}h2{font-size:1.2rem;margin:2.2rem 0 .5rem}h3{font-size:1rem;margin:1.2rem 0 .4rem}
p,.soft{color:var(--soft)}.scroll{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.3rem .8rem .3rem 0;border-bottom:1px solid var(--line);text-align:left;white-space:nowrap}
th{color:var(--soft);font-weight:600}
ol.recipe{display:grid;grid-template-columns:repeat(auto-fill,minmax(13rem,1fr));gap:.5rem;padding:0;list-style:none}
ol.recipe li{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.5rem .7rem}
ol.recipe li.checkpoint{border-left:4px solid var(--accent)}
ol.recipe b,ol.recipe span{display:block;overflow-wrap:anywhere}
.plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(11rem,1fr));gap:.5rem}
figure{margin:0}svg{width:100%;height:auto}
pre{background:var(--card);padding:.6rem;border-radius:.4rem;white-space:pre-wrap;overflow-wrap:anywhere;margin:.4rem 0}
summary{cursor:pointer;color:var(--soft)}
"""


def document(title: str, body: Iterable[str]) -> str:
    """A whole page that asks nothing of the network."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{STYLE}</style></head>\n'
        f"<body><h1>{escape(title)}</h1>\n{chr(10).join(body)}\n</body></html>\n"
    )


def heading(text: str, level: int = 2) -> str:
    """A heading of the page."""
    return f"<h{level}>{escape(text)}</h{level}>"


def paragraph(text: str) -> str:
    """A line of explanation."""
    return f"<p>{escape(text)}</p>"


def table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """A table that scrolls sideways where the page is narrow."""
    top = "".join(f'<th scope="col">{escape(c)}</th>' for c in head)
    lines = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>\n" for row in body)
    return f'<div class="scroll"><table><tr>{top}</tr>\n{lines}</table></div>'


def said(text: str) -> str:
    """What a model wrote, as it wrote it."""
    return f"<pre>{escape(text)}</pre>"


def figure(told: str, svg: str) -> str:
    """A drawing with its words for those who do not see it; the drawing itself must be ours."""
    return f'<figure role="img" aria-label="{escape(told)}">{svg}</figure>'


def card(kind: str, title: str, lines: Sequence[str]) -> str:
    """One box of the recipe's picture."""
    told = "".join(f'<span class="soft">{escape(line)}</span>' for line in lines)
    return f'<li class="{escape(kind)}"><b>{escape(title)}</b>{told}</li>'


def folded(title: str, body: str) -> str:
    """A part that opens on a click."""
    return f"<details><summary>{escape(title)}</summary>{body}</details>"
