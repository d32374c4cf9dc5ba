"""The page of a run: one HTML file without any outside reference, built from the lake alone.

It tells what came out, the recipe as a picture, every stage, what was judged twice, what it took, and where all of it
came from. What models wrote is escaped.
"""

import time
from collections.abc import Iterator, Sequence

from r1data import html
from r1data.cluster_params import ClusterParams
from r1data.inspect.show import amount
from r1data.manifest import Manifest
from r1data.report import audit, cost, result
from r1data.report.cost import Spent
from r1data.report.evaluation import NOTHING, percent
from r1data.report.funnel import funnel_table
from r1data.report.gathered import Run, gathered
from r1data.report.rail import rail
from r1data.report.stages import short_step, stages
from r1data.storage import Lake


def write_report(lake: Lake, recipe: str, cluster: ClusterParams | None = None) -> str:
    """Write `reports/RECIPE/index.html` into the lake, and its funnels as `funnels.parquet`; returns the page's URI.

    `cluster` (that of the recipe) says what a GPU costs and how many a training occupied.
    """
    return write_run(gathered(lake, recipe), cluster or ClusterParams())


def write_run(run: Run, cluster: ClusterParams, spent: Sequence[Spent] | None = None) -> str:
    """The same of what was gathered already, and of the cost where it was counted already."""
    name = f"reports/{run.recipe}/index.html"
    run.lake.write(name, page_of(run, cluster, spent).encode())
    run.lake.write_table(f"reports/{run.recipe}/funnels.parquet", funnel_table(run.passages).to_arrow())
    return run.lake.uri(name)


def page(lake: Lake, recipe: str, cluster: ClusterParams | None = None) -> str:
    """The page as text; `LakeError` where the lake holds nothing of the recipe."""
    return page_of(gathered(lake, recipe), cluster or ClusterParams())


def page_of(run: Run, cluster: ClusterParams, spent: Sequence[Spent] | None = None) -> str:
    """The page of what was gathered."""
    spent = cost.spent(run, cluster) if spent is None else spent
    parts = {
        "Result": [*result.evaluated(run), *result.claimed(run)],
        "Recipe": [*_recipe(run)],
        "Stages": [*stages(run)],
        "Verdicts": [*_audit(run)],
        "Cost": [*cost.section(spent, cluster)],
        "Lineage": [*_lineage(run)],
    }
    sections = {title.lower(): (title, body) for title, body in parts.items() if body}
    opening = [_facts(run), f'<div class="tiles">{"".join(result.tiles(run))}</div>']
    body = [html.section(name, title, part) for name, (title, part) in sections.items()]
    return html.document(
        f"Recipe {run.recipe}", [*opening, *body], [(name, title) for name, (title, _) in sections.items()]
    )


def _facts(run: Run) -> str:
    ended = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(max(m.finished for m in run.nodes.values())))
    models = sum(m.kind == "checkpoint" for m in run.nodes.values())
    facts = (
        f"last change {ended}",
        f"{models} checkpoints, {len(run.nodes) - models} datasets",
        f"lake {run.lake.uri()}",
    )
    return f'<div class="facts">{"".join(f"<span>{html.marked(f)}</span>" for f in facts)}</div>'


def _recipe(run: Run) -> Iterator[str]:
    order, above = list(run.main), {name: run.made_from(name) for name in run.main}
    drawn, wide = rail(order, above, {name: m.kind for name, m in run.main.items()})
    key = '<span class="key"></span>dataset, rows kept &ensp; <span class="key checkpoint"></span>model, pass@1'
    yield html.paragraph("From top to bottom; lines lead from what a thing was made of.")
    yield html.paragraph(html.Markup(key))
    shown = "".join(_station(run, name, above[name]) for name in order)
    yield f'<div class="rail" style="--wide:{wide + 6}px">{drawn}<ol>{shown}</ol></div>'


def _station(run: Run, name: str, above: list[str]) -> str:
    m, measured = run.main[name], run.estimates.get(name, {}).get("pass@1", NOTHING)
    from_all = f"from {', '.join(reversed(above))}" if above else "from the recipe's sources"
    passed = next((p.funnel.rows_in for p in run.passages if p.name == name and p.funnel.rows_in), None)
    beside = f"{percent(measured.value)} %" if measured.value is not None else f"of {passed:,}" if passed else ""
    told, step = html.marked, short_step(m)
    return (
        f'<li><b>{told(name)}</b><span class="n">{told(amount(m))}</span>'
        f'<small>{told(step)} {told(from_all)}</small><small class="n">{told(beside)}</small></li>'
    )


def _audit(run: Run) -> Iterator[str]:
    found = audit.rows_of(run.audits)
    if found:
        yield html.paragraph(
            "A second method judged a sample again. Where they differ either may be wrong: shares are upper estimates."
        )
        yield html.table(audit.COLUMNS, found)
        differing = "".join(html.said(line) for line in audit.disagreements(run.audits))
        yield html.folded("answers judged differently", differing or html.paragraph("None."))


def _lineage(run: Run) -> Iterator[str]:
    yield html.paragraph("A ref points to content; the digest says which. The lake alone answers where a row is from:")
    yield from _commands(run)
    yield html.heading("Refs of the recipe", 3)
    yield html.table(("ref", "digest", "made from", "code"), [_line(run, n, m) for n, m in run.main.items()])
    others = [_line(run, n, m) for n, m in run.nodes.items() if n not in run.main]
    yield html.folded(f"{len(others)} more on the way", html.table(("ref", "digest", "made from", "code"), others))


def _commands(run: Run) -> Iterator[str]:
    last = f"{run.recipe}/{run.result or list(run.main)[-1]}"
    gone = [d.row_id for p in run.passages for rows in p.dropped.values() for d in rows]
    made = [row for p in run.passages for row, _ in p.kept]
    yield html.command(f"r1 lineage show {last} --html lineage.html", "what it was made from, and what from it")
    yield html.command(
        f"r1 trace {made[0] if made else 'ROW_ID'}",
        "a row back to its problem, checkpoint and verdict, and on to what it trained",
    )
    yield html.command(f"r1 why {gone[0] if gone else 'ROW_ID'}", "why a row was dropped")
    yield html.command(f"r1 impact {run.recipe}/problems", "everything downstream of a ref, digest, source or row")


def _line(run: Run, name: str, m: Manifest) -> tuple[str, ...]:
    above = ", ".join(f"{p.name.split('/', 1)[-1]} {p.digest[:6]}" for p in m.parents)
    return f"{run.recipe}/{name}", m.digest[:12], above or "sources", m.code.get("commit", "")[:10]
