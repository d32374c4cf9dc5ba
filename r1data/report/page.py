"""The page of a run: one HTML file without any outside reference; what models wrote is escaped."""

from collections.abc import Sequence
from html import escape

import polars as pl

from r1data.errors import LakeError
from r1data.refs import list_refs, resolve
from r1data.report.curves import curves_svg, metrics
from r1data.report.evaluation import COLUMNS, funnel, rows
from r1data.runner import frame_of
from r1data.storage import Lake

TRAINED = ("base", "zero", "dev1", "dev2", "dev3", "rm_helpful", "rm_safe", "r1", "distill", "student_rl")
EXAMPLES = 4
STYLE = """
:root{color-scheme:light dark;--ink:#1c2430;--soft:#5b6472;--line:#d9dee6;--card:#f6f8fb;--page:#fff}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#9aa5b5;--line:#333c4a;--card:#1b222c;--page:#12171e}}
body{font:15px/1.55 system-ui,sans-serif;color:var(--ink);background:var(--page)}
body{margin:0 auto;max-width:70rem;padding:1.5rem}
h1{font-size:1.6rem;margin:.2rem 0}h2{font-size:1.15rem;margin:2rem 0 .5rem}p,.soft{color:var(--soft)}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:.35rem .7rem;border-bottom:1px solid var(--line);text-align:left;white-space:nowrap}
ol.recipe{display:flex;flex-wrap:wrap;gap:.5rem;padding:0;list-style:none}
ol.recipe li{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.4rem .7rem}
ol.recipe b{display:block}
pre{background:var(--card);padding:.6rem;border-radius:.4rem;white-space:pre-wrap;word-break:break-word}
figure{margin:0 0 1rem}svg{height:auto}figcaption{color:var(--soft)}
"""


def write_report(lake: Lake, recipe: str) -> str:
    """Write `reports/RECIPE/index.html` into the lake; returns its URI."""
    name = f"reports/{recipe}/index.html"
    lake.write(name, page(lake, recipe).encode())
    return lake.uri(name)


def page(lake: Lake, recipe: str) -> str:
    """The page as text."""
    parts = [_picture(lake, recipe), _table("Evaluation", COLUMNS, rows(lake, recipe))]
    parts.append("<h2>Training</h2>")
    parts += [_curves(lake, recipe, stage) for stage in TRAINED]
    parts += [_funnel(lake, recipe, stage) for stage in ("cold_start", "sft_mix")]
    body = "\n".join(parts)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(recipe)}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{STYLE}</style></head>'
        f"<body><h1>{escape(recipe)}</h1><p>From {escape(lake.uri())}; intervals are 95 % bootstrap over problems.</p>"
        f"{body}</body></html>"
    )


def _picture(lake: Lake, recipe: str) -> str:
    items = []
    for ref in sorted(list_refs(lake), key=lambda r: resolve(lake, r).finished):
        node = ref.removeprefix(f"{recipe}/")
        if ref.startswith(f"{recipe}/") and "/" not in node:
            m = resolve(lake, ref)
            told = f"{m.rows:,} rows" if m.kind == "dataset" else f"{m.counts.get('steps', 0):,} steps"
            items.append(f"<li><b>{escape(node)}</b><span class=soft>{m.step}, {told}</span></li>")
    return f"<h2>The recipe, in the order it ran</h2><ol class=recipe>{''.join(items)}</ol>"


def _table(title: str, head: tuple[str, ...], body: Sequence[tuple[str, ...]]) -> str:
    top = "".join(f"<th>{escape(c)}</th>" for c in head)
    lines = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>" for row in body)
    return f"<h2>{escape(title)}</h2><div class=scroll><table><tr>{top}</tr>{lines}</table></div>"


def _curves(lake: Lake, recipe: str, stage: str) -> str:
    frame = metrics(lake, recipe, stage)
    if frame.is_empty():
        return ""
    return f"<figure class=scroll><figcaption>{escape(stage)}</figcaption>{curves_svg(frame)}</figure>"


def _funnel(lake: Lake, recipe: str, stage: str) -> str:
    try:
        candidates = resolve(lake, f"{recipe}/{stage}/candidates")
        left = funnel(lake, recipe, stage)
    except LakeError:
        return ""
    gone = int(left["rows"].sum())
    body = [("candidates", "", f"{candidates.rows:,}")]
    body += [(g, r, f"-{n:,}") for g, r, n in left.iter_rows()]
    body.append(("kept", "", f"{candidates.rows - gone:,}"))
    return _table(f"Funnel of {stage}", ("gate", "reason", "rows"), body) + _examples(lake, recipe, stage)


def _examples(lake: Lake, recipe: str, stage: str) -> str:
    kept = frame_of(lake, resolve(lake, f"{recipe}/{stage}")).head(EXAMPLES)
    dropped = frame_of(lake, resolve(lake, f"{recipe}/{stage}/drops")).unique(
        "reason", keep="first", maintain_order=True
    )
    shown = [f"<pre>{escape(p + c)}</pre>" for p, c in kept.select("prompt", "completion").iter_rows()]
    gone = [
        f"<p>{escape(gate)}: {escape(reason)} {escape(value)}</p><pre>{escape(evidence)}</pre>"
        for gate, reason, value, evidence in dropped.select("gate", "reason", "value", pl.col("evidence")).iter_rows()
    ]
    return f"<h2>Kept in {stage}</h2>{''.join(shown)}<h2>Dropped from {stage}, one a reason</h2>{''.join(gone)}"
