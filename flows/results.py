"""What came of a run as artifacts in Prefect's interface: stages as they end, then evaluation, verdicts, cost, links.

The tables are those of `r1data.report`. Keys are RECIPE-WHAT and the same in every run, so that the interface shows a
history of each. What models wrote is shown as text: Prefect's pages read Markdown, and would load what it names.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast
from urllib.parse import quote

from prefect.artifacts import Artifact, create_markdown_artifact, create_table_artifact

from flows.artifacts import artifact_key
from flows.environment import Operations
from r1data.inspect.show import amount, check_pages
from r1data.manifest import Manifest
from r1data.refs import list_refs, read_ref
from r1data.report import claims, cost, evaluation, regression, verdicts
from r1data.report.audit import audit_markdown
from r1data.report.curves import curves, metrics
from r1data.report.evaluation import markdown
from r1data.report.funnel import COLUMNS as FUNNEL
from r1data.report.funnel import drop_refs, dropped, funnel
from r1data.report.gathered import Run, gathered
from r1data.report.lineage_page import write_lineage
from r1data.report.markup import literal, picture
from r1data.report.page import write_run
from r1data.run import Session
from r1data.storage import Lake

SHOWN = 300
DRAWING = threading.Lock()  # matplotlib's settings are those of the process, and stages end side by side
AUDIT = (
    "A second method judged a sample of the candidates again. Where they differ either may be wrong: "
    "the shares are upper estimates of wrong verdicts."
)
EVALUATION = (
    "Every checkpoint on held-out problems, shares in percent with 95 % intervals; what changed since what is current "
    "(the last night that was published); what the recipe is meant to show."
)
VERDICTS = "How candidates were judged, by verifier and tier. Undecided is neither right nor wrong and is in no share."
COST = (
    "Tokens, GPU-hours and cost of what the lake holds now, whenever it was paid for. Hours of sampling are at the "
    "speed on record, those of training by the recipe's processes now; an empty cell is not known or does not apply. "
    "**This run alone**: {tokens:,} tokens generated, {cost}."
)
COUNTS = (
    "Stage {stage}: what it made, what was there already, expectations that held, pages of the checks and where it is."
)
CURVES = "Training curves of {node}, checkpoint {digest}."


def node_told(lake: Lake, name: str, manifest: Manifest, skipped: bool, seconds: float) -> dict[str, Any]:
    """The line of a stage's table about one node."""
    held = sum(bool(check.get("success")) for check in manifest.checks)
    pages = (uri.removeprefix(f"{lake.uri()}/") for uri in check_pages(lake, manifest))
    links = ", ".join(linked(lake, page, page.rpartition("/")[2].removesuffix(".html")) for page in pages)
    told = {"node": name, "holds": amount(manifest), "was there": "yes" if skipped else "no", "seconds": seconds}
    return {**told, "checks": f"{held} of {len(manifest.checks)} held", "pages": links, "path": manifest.path}


def linked(lake: Lake, name: str, text: str) -> str:
    """A link to an object of the lake where a browser can open it (R1_LAKE_WEB), else its URI as text."""
    web = Operations.from_environment().lake_web
    return f"[{text}]({web.rstrip('/')}/{quote(name)})" if web else literal(lake.uri(name))


def stage_results(session: Session, stage: str, rows: Sequence[dict[str, Any]]) -> None:
    """Funnels of a stage that drops rows, curves of what it trained, and the table of its nodes."""
    lake, recipe = session.lake, session.recipe.name
    steps = {row["node"]: session.nodes[row["node"]].step for row in rows}
    made = {f"{recipe}/{name}" for name, step in steps.items() if step.output and step.output.name == "drops"}
    # finding where funnels begin reads the manifest of every ref: only for a stage that drops rows
    for ref in (ref for ref in (drop_refs(lake, recipe) if made else ()) if ref in made):
        _funnel(lake, ref)
    for name in (name for name, step in steps.items() if step.kind == "train"):
        _curves(lake, recipe, name, session.runner.done[name])
    create_table_artifact(list(rows), key=artifact_key(recipe, stage), description=COUNTS.format(stage=stage))


def _funnel(lake: Lake, ref: str) -> None:
    head, name = ("rows that", *FUNNEL[1:]), ref.partition("/")[2].removesuffix("/drops")
    told = f"Funnel of {name}: what each gate stopped, as rows and shares of the rows in."
    create_table_artifact(_rows(head, funnel(lake, ref).cells), key=artifact_key(ref, "funnel"), description=told)
    shown = [
        {"gate": row.gate, "reason": row.reason, "value": literal(row.value), "text": literal(row.evidence[:SHOWN])}
        for gone in dropped(lake, ref).values()
        for row in gone
    ]
    told = f"Rows that left, from {ref}: at most ten of each reason."
    create_table_artifact(shown, key=artifact_key(ref, "funnel-examples"), description=told)


def _curves(lake: Lake, recipe: str, name: str, checkpoint: Manifest) -> None:
    """One picture a checkpoint; none again where the latest under its key is of the same checkpoint."""
    key = artifact_key(recipe, name, "curves")
    told = CURVES.format(node=name, digest=checkpoint.digest[:12])
    latest = cast(Artifact | None, Artifact.get(key))
    if latest is not None and latest.description == told:
        return
    with DRAWING:
        plots = list(curves(metrics(lake, checkpoint)))
    if plots:
        words = [f"- {plot.told}" for plot in plots]
        text = "\n".join([picture(f"curves of {name}", [plot.svg for plot in plots]), "", *words])
        create_markdown_artifact(text, key=key, description=told)


def run_results(session: Session) -> str:
    """The artifacts of the whole run, the page of the run and the lineage page; the URI of the run's page."""
    lake, recipe, made = session.lake, session.recipe, _made(session)
    run, this = gathered(lake, recipe.name), session.services.desk.spending
    create_markdown_artifact(evaluated(run), key=_key(session, "evaluation"), description=EVALUATION)
    create_markdown_artifact(audit_markdown(run.audits), key=_key(session, "audit"), description=AUDIT)
    judged = _rows(verdicts.COLUMNS, verdicts.verdict_rows(lake, made))
    create_table_artifact(judged, key=_key(session, "verdicts"), description=VERDICTS)
    spent = cost.spent(run, recipe.cluster)
    told = COST.format(tokens=this.tokens, cost=this.cost)
    lines = cost.rows(spent, recipe.cluster)
    create_table_artifact(_rows(cost.TABLE, lines), key=_key(session, "cost"), description=told)
    uri = write_run(run, recipe.cluster, spent)
    lineage = write_lineage(lake, recipe.name, made)
    told = f"Where to look for what came of {recipe.name}: pages, tables, and the lake itself."
    create_markdown_artifact("\n\n".join(_overview(session, lineage)), key=_key(session, "run"), description=told)
    return uri


def evaluated(run: Run) -> str:
    """The figures of every checkpoint, what changed since what is current, and the claims, as Markdown."""
    change = markdown(regression.COLUMNS, [c.cells for c in regression.comparisons(run.lake, run.recipe)])
    parts = (markdown(evaluation.COLUMNS, evaluation.rows_of(run.estimates)), "## Since what is current", change)
    held = [c.cells for c in claims.claims_of(run.estimates, run.shares)]
    return "\n\n".join([*parts, "## Claims", markdown(claims.COLUMNS, held)])


def _overview(session: Session, lineage: str) -> Iterator[str]:
    lake, recipe, made = session.lake, session.recipe.name, _made(session)
    shown = [(f"for others: `{ref}`", literal(path)) for ref, path in _current(lake, recipe).items()]
    yield markdown(
        ("what", "where"),
        [
            ("page of the run", linked(lake, f"reports/{recipe}/index.html", "report")),
            ("where everything came from", linked(lake, lineage, "lineage")),
            ("the lake", literal(lake.uri())),
            *shown,
        ],
    )
    names = ("evaluation", "verdicts", "audit", "cost")
    yield f"**Of the run:** {', '.join(_see(_key(session, name), name) for name in names)}"
    yield f"**Stages:** {', '.join(_see(_key(session, s), s) for s in dict.fromkeys(_stages(session)))}"
    drops = [ref for ref in drop_refs(lake, recipe) if ref.removeprefix(f"{recipe}/") in made]
    funnels = (_see(artifact_key(ref, "funnel"), ref.partition("/")[2].removesuffix("/drops")) for ref in drops)
    yield f"**Funnels:** {', '.join(funnels)}"
    trained = (name for name, manifest in made.items() if manifest.kind == "checkpoint")
    yield f"**Training curves:** {', '.join(_see(_key(session, name, 'curves'), name) for name in trained)}"


def _current(lake: Lake, recipe: str) -> Mapping[str, str]:
    """Where the refs for others point now."""
    refs = set(list_refs(lake))
    names = (regression.current_ref(recipe, c) for c in regression.CHECKPOINTS)
    return {name: read_ref(lake, name).current.path for name in names if name in refs}


def _made(session: Session) -> Mapping[str, Manifest]:
    """What the run made or found, in the recipe's order: nodes end in another one every time."""
    return {name: session.runner.done[name] for name in session.nodes if name in session.runner.done}


def _stages(session: Session) -> Iterator[str]:
    return (session.nodes[name].stage for name in _made(session))


def _key(session: Session, *what: str) -> str:
    return artifact_key(session.recipe.name, *what)


def _see(key: str, text: str) -> str:
    return f"[{text}](/artifacts/key/{key})"


def _rows(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[dict[str, str]]:
    """A table as Prefect wants it; a dash alone would be read as the point of a list."""
    return [dict(zip(head, ("" if cell == "-" else cell for cell in cells), strict=True)) for cells in body]
