"""Commands about recipes: check, plan, pilot, run, review, report."""

from pathlib import Path
from typing import Annotated

import typer

from r1data.cli.app import LakeUrl, RecipeName, RefName, app, opened, settings_of
from r1data.cli.printing import print_table

PANEL = "Recipes"


@app.command(rich_help_panel=PANEL)
def check(recipe: RecipeName) -> None:
    """Read a recipe and say whether it is right: every field, template and stage; try the verifier on its canaries
    and the gates on the recipe's examples.

    Example: r1 check my-recipe.toml
    """
    from r1data.recipe import load_recipe
    from r1data.stages import graph
    from r1data.stages.cold_start import check_refinement
    from r1data.steps.thresholds import check_gates
    from r1data.verify.canaries import check_sources

    found = load_recipe(recipe)
    check_sources(found.sources)
    check_refinement(found)
    examples = check_gates(found)
    told = f"the verifier passes its canaries, the gates {examples} examples"
    print(f"{found.name}: {len(graph(found))} nodes, no fault found; {told}")


@app.command(rich_help_panel=PANEL)
def plan(context: typer.Context, recipe: RecipeName, lake: LakeUrl = None) -> None:
    """Say what a run would compute, and why, before it does; and what its sampling would cost.

    `done` is skipped, `run` is computed for the reason given, `depends` waits for a node that runs.
    Tokens come with a 95 % interval from the node's last sampling (`r1 pilot` makes a small one), else as an upper
    bound. They cost what `gpu_hour_price` in the recipe's [cluster.budget] says; recorded answers are free.
    Trainings come with their memory on each GPU by ZeRO stage; one that does not fit [cluster.gpu] is refused.

    Example: r1 plan my-recipe.toml
    """
    from r1data.cli.prices import print_prices
    from r1data.cli.sizes import print_sizes
    from r1data.fitting import fitting, refuse
    from r1data.plan import plan as plan_of
    from r1data.price import price
    from r1data.recipe import load_recipe
    from r1data.run import on_cluster
    from r1data.stages import graph

    there, found = opened(context, lake), on_cluster(load_recipe(recipe), settings_of(context, lake))
    lines = plan_of(there, found)
    print_table(("stage", "node", "status", "reason"), [(p.stage, p.node, p.status, p.reason) for p in lines])
    print_prices(price(there, found, lines), found.cluster.budget)
    done = {line.node: line.manifest for line in lines if line.manifest}
    sizes = fitting(found, [n for n in graph(found) if n.name not in done], done)
    print_sizes(sizes, found.cluster)
    refuse(found, sizes)
    to_do = sum(line.status != "done" for line in lines)
    print(f"{to_do} of {len(lines)} nodes to run" if to_do else f"all {len(lines)} nodes are done, nothing to do")


@app.command(rich_help_panel=PANEL)
def pilot(
    context: typer.Context,
    recipe: RecipeName,
    node: Annotated[str, typer.Argument(help="a node that asks a checkpoint, such as cold_start/candidates")],
    prompts: Annotated[int, typer.Option(min=1, help="how many of the node's prompts to ask, the first ones")] = 50,
    lake: LakeUrl = None,
) -> None:
    """Ask a node's model its first prompts, to learn what the node costs; a run uses these answers again.

    What the node needs has to be there: the problems and the checkpoint that it asks.

    Example: r1 pilot demo cold_start/candidates --prompts 20
    """
    from r1data.cli.live import LiveProgress
    from r1data.cli.prices import print_prices
    from r1data.piloting import pilot as pilot_of
    from r1data.recipe import load_recipe
    from r1data.run import on_cluster
    from r1data.spending import Spending

    settings = settings_of(context, lake)
    budget = on_cluster(load_recipe(recipe), settings).cluster.budget
    with LiveProgress(Spending(budget)) as live:
        lines = pilot_of(recipe, settings, node, prompts, live.report, live.watch, live.spending)
    print_prices(lines, budget)


@app.command(rich_help_panel=PANEL)
def run(
    context: typer.Context,
    recipe: RecipeName,
    stage: Annotated[list[str] | None, typer.Option(help="only up to this stage; may be repeated")] = None,
    lake: LakeUrl = None,
) -> None:
    """Run a recipe without Prefect; what is done already is skipped.

    Example: r1 run demo --stage zero
    """
    from r1data.cli.live import LiveProgress
    from r1data.recipe import load_recipe
    from r1data.report.evaluation import evaluation_text
    from r1data.report.page import write_report
    from r1data.run import on_cluster, run_recipe
    from r1data.spending import Spending

    settings = settings_of(context, lake)
    found = on_cluster(load_recipe(recipe), settings)
    with LiveProgress(Spending(found.cluster.budget)) as live:
        computed = run_recipe(recipe, settings, stage, live.report, live.watch, live.spending)
    print(f"{computed} nodes computed" if computed else "nothing to do")
    if not stage:
        there = opened(context, lake)
        print(evaluation_text(there, found.name))
        print(f"report {write_report(there, found.name, found.cluster)}")


@app.command(rich_help_panel=PANEL)
def review(
    context: typer.Context,
    ref: RefName,
    by: Annotated[str, typer.Option("--by", help="who decides")],
    accept: Annotated[bool | None, typer.Option("--accept/--reject", help="train on these rows, or do not")] = None,
    note: Annotated[str, typer.Option(help="what others should know")] = "",
    reject_row: Annotated[
        list[str] | None, typer.Option(help="leave this row out: its id or the beginning; may be repeated")
    ] = None,
    edits: Annotated[
        Path | None, typer.Option(help="JSONL file: an example_id and a new completion a line", dir_okay=False)
    ] = None,
    lake: LakeUrl = None,
) -> None:
    """Accept or reject the rows that a ref points to; a recipe with review = "wait" goes on only after that.

    Without --accept or --reject: some rows of every category, language and source, with their measures.

    Example: r1 review my-recipe/cold_start --by Ada --accept --reject-row 1f0c9a
    """
    from r1data.refs import resolve
    from r1data.reviewing import decide, edit_lines, keep_edits, review_markdown

    there = opened(context, lake)
    manifest = resolve(there, ref)
    if accept is None:
        print(review_markdown(there, manifest))
        return
    name = keep_edits(there, edits.read_bytes()) if edits else ""
    found = decide(there, manifest, by, accepted=accept, note=note, rejected=reject_row or (), edits_file=name)
    rows = f", {len(found.rejected)} rows left out, {len(found.edits)} edited" if found.rejected or found.edits else ""
    print(f"{ref}: {found.decision} by {found.reviewer}{rows}, content {found.digest[:12]}")
    for line in edit_lines(found):
        print(f"  {line}")


@app.command(rich_help_panel=PANEL)
def report(
    context: typer.Context,
    recipe: RecipeName,
    markdown: Annotated[bool, typer.Option("--markdown", help="print Markdown, write no page")] = False,
    lake: LakeUrl = None,
) -> None:
    """Print the evaluation and the claims of a recipe, and write its page into the lake.

    Example: r1 report demo --markdown
    """
    from r1data.recipe import load_recipe
    from r1data.report import claims, evaluation
    from r1data.report.page import write_report
    from r1data.run import on_cluster

    there, found = opened(context, lake), on_cluster(load_recipe(recipe), settings_of(context, lake))
    name = found.name
    if markdown:
        print(f"{evaluation.evaluation_markdown(there, name)}\n\n{claims.claims_markdown(there, name)}")
        return
    print_table(evaluation.COLUMNS, evaluation.rows(there, name))
    print()
    print_table(claims.COLUMNS, [c.cells for c in claims.claims(there, name)])
    print(f"\n{write_report(there, name, found.cluster)}")
