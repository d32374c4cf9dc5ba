"""The page of a run: one HTML file without any outside reference, built from the lake alone.

Readable on a phone and a desk, light and dark. What models wrote is escaped.
"""

import time
from collections.abc import Iterator
from graphlib import TopologicalSorter

from r1data import html
from r1data.errors import LakeError
from r1data.inspect.lengths import pair_lengths
from r1data.inspect.show import amount
from r1data.manifest import Manifest
from r1data.refs import list_refs, resolve
from r1data.report import audit, claims, evaluation
from r1data.report.curves import curves, metrics
from r1data.report.funnel import COLUMNS as FUNNEL
from r1data.report.funnel import Dropped, drop_refs, dropped, funnel, funnel_table, kept
from r1data.storage import Lake


def write_report(lake: Lake, recipe: str) -> str:
    """Write `reports/RECIPE/index.html` into the lake, and its funnels as `funnels.parquet`; returns the page's URI."""
    name = f"reports/{recipe}/index.html"
    lake.write(name, page(lake, recipe).encode())
    lake.write_table(f"reports/{recipe}/funnels.parquet", funnel_table(lake, recipe).to_arrow())
    return lake.uri(name)


def page(lake: Lake, recipe: str) -> str:
    """The page as text; `LakeError` where the lake holds nothing of the recipe."""
    nodes = _nodes(lake, recipe)
    if not nodes:
        raise LakeError(f"{lake.url}: nothing of recipe {recipe!r} is here yet", f"r1 run {recipe}")
    parts = [
        *_opening(lake, nodes),
        *_evaluation(lake, recipe),
        *(part for ref in drop_refs(lake, recipe) for part in _funnel(lake, ref)),
        *(part for name, m in nodes.items() for part in _lengths(lake, name, m)),
        *_audit(lake, recipe),
        html.heading("Training"),
        *(part for name, m in nodes.items() for part in _curves(lake, name, m)),
        *_lineage(nodes),
    ]
    return html.document(f"Recipe {recipe}", parts)


def _nodes(lake: Lake, recipe: str) -> dict[str, Manifest]:
    """The recipe's manifests by node name, parents before what was made of them."""
    prefix = f"{recipe}/"
    found = {r.removeprefix(prefix): resolve(lake, r) for r in list_refs(lake) if r.startswith(prefix)}
    above = {n: [p.name.removeprefix(prefix) for p in m.parents] for n, m in found.items()}
    order = TopologicalSorter({n: [p for p in names if p in found] for n, names in above.items()}).static_order()
    return {name: found[name] for name in order}


def _opening(lake: Lake, nodes: dict[str, Manifest]) -> Iterator[str]:
    ended = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(max(m.finished for m in nodes.values())))
    yield html.paragraph(f"From {lake.uri()}, last change {ended}. Intervals are 95 % bootstrap over problems.")
    yield html.heading("The recipe, in the order of what builds on what")
    yield html.paragraph("Models carry a bar at their left; the rest are datasets.")
    cards = [
        html.card(m.kind, name, [f"{m.step.replace('_', ' ')}, {amount(m)}", _sources(m)])
        for name, m in nodes.items()
        if "/" not in name
    ]
    yield f'<ol class="recipe">{"".join(cards)}</ol>'


def _sources(manifest: Manifest) -> str:
    names = [p.name.split("/", 1)[-1] for p in manifest.parents]
    return f"from {', '.join(names)}" if names else "from the recipe's sources"


def _evaluation(lake: Lake, recipe: str) -> Iterator[str]:
    yield html.heading("Evaluation")
    if not evaluation.estimates(lake, recipe):
        yield html.paragraph("Nothing is evaluated yet.")
        return
    yield html.paragraph(
        "Shares in percent, length in tokens; undecided samples and those without a language are left out."
    )
    yield html.table(evaluation.COLUMNS, evaluation.rows(lake, recipe))
    yield html.heading("Claims")
    yield html.paragraph("Differences are paired by problem. The figures wanted are those of the demo recipe.")
    yield html.table(claims.COLUMNS, (c.cells for c in claims.claims(lake, recipe)))


def _curves(lake: Lake, name: str, checkpoint: Manifest) -> Iterator[str]:
    plots = [html.figure(told, svg) for told, svg in curves(metrics(lake, checkpoint))]
    if plots:
        yield html.heading(name, 3)
        yield f'<div class="plots">{"".join(plots)}</div>'


def _funnel(lake: Lake, ref: str) -> Iterator[str]:
    found, name = funnel(lake, ref), ref.partition("/")[2].removesuffix("/drops")
    yield html.heading(f"Funnel of {name}")
    yield html.table(FUNNEL, found.cells)
    if made := kept(lake, ref):
        yield html.folded(f"examples in {name}", "".join(html.said(text) for text in made))
    rows = {(gate, reason): n for gate, reason, n in found.left}
    for (gate, reason), gone in dropped(lake, ref).items():
        title = f"dropped by {gate}: {reason.replace('_', ' ')}, {len(gone)} of {rows[gate, reason]:,} rows"
        yield html.folded(title, "".join(_gone(d) for d in gone))


def _gone(row: Dropped) -> str:
    return html.paragraph(f"{row.gate}: {row.reason.replace('_', ' ')} {row.value}") + html.said(row.evidence)


def _lengths(lake: Lake, name: str, dataset: Manifest) -> Iterator[str]:
    found = pair_lengths(lake, dataset)
    if found:
        yield html.heading(f"Lengths of {name}")
        yield html.paragraph("Of what the reward model is shown; it learns length where these differ.")
        yield html.table(("", ""), found)


def _audit(lake: Lake, recipe: str) -> Iterator[str]:
    found = audit.audit_rows(lake, recipe)
    if found:
        yield html.heading("Audit of the verdicts")
        yield html.paragraph(
            "A second method judged a sample again. Where they differ either may be wrong: shares are upper estimates."
        )
        yield html.table(audit.COLUMNS, found)
        differing = "".join(html.said(line) for line in audit.disagreements(lake, recipe))
        yield html.folded("answers judged differently", differing or html.paragraph("None."))


def _lineage(nodes: dict[str, Manifest]) -> Iterator[str]:
    head = ("node", "step", "seconds", "digest", "made from", "code")
    body = [
        (
            name,
            f"{m.step} {m.version}",
            f"{m.finished - m.started:.1f}",
            m.digest[:12],
            ", ".join(f"{p.name.split('/', 1)[-1]} {p.digest[:6]}" for p in m.parents),
            m.code.get("commit", "")[:10],
        )
        for name, m in nodes.items()
    ]
    yield html.heading("Lineage")
    yield html.paragraph("Digests are those of the content. `r1 trace ROW` follows a single row.")
    yield html.folded(f"{len(nodes)} datasets and checkpoints", html.table(head, body))
