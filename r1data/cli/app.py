"""The commands of `r1`. Errors are printed with their remedy and exit 1; heavy imports wait until they are needed."""

import os
import sys
import time
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from r1data.errors import R1Error
from r1data.settings import Settings

app = typer.Typer(
    help="The DeepSeek-R1 recipe as a data pipeline. Start with: r1 plan demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
LakeUrl = Annotated[
    str | None, typer.Option("--lake", help="root URL of the lake (default: R1_LAKE, else ./lake)", show_default=False)
]
Recipe = Annotated[str, typer.Argument(help="a shipped recipe (demo, smoke, qwen-7b, deepseek-r1) or a .toml file")]
Ref = Annotated[str, typer.Argument(help="a ref such as demo/cold_start; `r1 status` lists them")]
RowId = Annotated[str, typer.Argument(help="a row's id, or its first six characters or more")]
console = Console(soft_wrap=True)


def main() -> None:
    """Run a command; the entry point of the `r1` script."""
    try:
        app()
    except R1Error as e:
        if os.environ.get("R1_DEBUG"):
            raise
        print(f"error: {e}", file=sys.stderr)
        sys.exit(1)


@app.command()
def run(
    recipe: Recipe,
    stage: Annotated[list[str] | None, typer.Option(help="only up to this stage; may be repeated")] = None,
    lake: LakeUrl = None,
) -> None:
    """Run a recipe without Prefect; what is done already is skipped.

    Example: r1 run demo --stage zero
    """
    from r1data.report.page import write_report
    from r1data.run import run_recipe
    from r1data.storage import Lake

    settings = Settings.from_environment(lake=lake)
    computed = run_recipe(recipe, settings, stage, report=print)
    print(f"{computed} nodes computed" if computed else "nothing to do")
    if not stage:
        from r1data.recipe import load_recipe

        print(f"report {write_report(Lake.open(settings.lake), load_recipe(recipe).name)}")


@app.command()
def plan(recipe: Recipe, lake: LakeUrl = None) -> None:
    """Say what a run would compute, and why, before it does.

    Example: r1 plan my-recipe.toml
    """
    from r1data.plan import plan as plan_of
    from r1data.recipe import load_recipe
    from r1data.storage import Lake

    lines = plan_of(Lake.open(Settings.from_environment(lake=lake).lake), load_recipe(recipe))
    table = Table("stage", "node", "status", "reason", box=None)
    for line in lines:
        table.add_row(line.stage, line.node, line.status, line.reason)
    console.print(table)
    to_do = sum(line.status != "done" for line in lines)
    print(f"{to_do} of {len(lines)} nodes to run" if to_do else f"all {len(lines)} nodes are done, nothing to do")


@app.command()
def check(recipe: Recipe) -> None:
    """Read a recipe and say whether it is right: every field, template and stage.

    Example: r1 check my-recipe.toml
    """
    from r1data.recipe import load_recipe
    from r1data.stages import graph
    from r1data.verify.canaries import check_canaries

    found = load_recipe(recipe)
    check_canaries()
    print(f"{found.name}: {len(graph(found))} nodes, no fault found; the verifier passes its canaries")


@app.command()
def status(lake: LakeUrl = None) -> None:
    """List the refs of the lake: what is current, how many rows, how old.

    Example: r1 status --lake s3://bucket/lake
    """
    from r1data.refs import list_refs, resolve
    from r1data.storage import Lake

    opened = Lake.open(Settings.from_environment(lake=lake).lake)
    table = Table("ref", "kind", "rows", "minutes ago", "digest", box=None)
    for ref in list_refs(opened):
        m = resolve(opened, ref)
        table.add_row(ref, m.kind, f"{m.rows:,}", f"{(time.time() - m.finished) / 60:.0f}", m.digest[:12])
    console.print(table)
    print(f"lake {opened.uri()}")


@app.command()
def show(ref: Ref, lake: LakeUrl = None) -> None:
    """Show what a ref points to: parents, parameters, counts, first rows.

    Example: r1 show demo/cold_start
    """
    from r1data.inspect.show import described, first_rows
    from r1data.refs import resolve
    from r1data.storage import Lake

    opened = Lake.open(Settings.from_environment(lake=lake).lake)
    manifest = resolve(opened, ref)
    print(described(opened, ref, manifest))
    rows = first_rows(opened, manifest)
    if rows is not None:
        print(rows)


@app.command()
def trace(row: RowId, lake: LakeUrl = None) -> None:
    """Follow a row to its problem, checkpoint and verdict, and to the checkpoints trained on it.

    Example: r1 trace 3fa94c
    """
    from r1data.inspect.trace import trace as trace_of
    from r1data.storage import Lake

    found = trace_of(Lake.open(Settings.from_environment(lake=lake).lake), row)
    for title, findings in (("row", found.findings), ("comes from", found.ancestors)):
        for f in findings:
            told = {k: v for k, v in f.row.items() if v not in (None, "", "{}")}
            print(f"{title}  {f.ref}  [{f.table}]")
            for key, value in told.items():
                print(f"    {key}: {value}")
    for parent in found.made_by:
        print(f"made from  {parent}")
    for checkpoint in found.trained:
        print(f"trained  {checkpoint}")


@app.command()
def why(row: RowId, lake: LakeUrl = None) -> None:
    """Say why a row was dropped: gate, reason, value, evidence.

    Example: r1 why 3fa94c
    """
    from r1data.inspect.trace import why as why_of
    from r1data.storage import Lake

    findings = why_of(Lake.open(Settings.from_environment(lake=lake).lake), row)
    for f in findings:
        print(f"{f.ref}: {f.row['row_id']} left at gate {f.row['gate']}: {f.row['reason']} {f.row['value']}")
        print(f"    {f.row['evidence']}")
    if not findings:
        print(f"{row}: not dropped anywhere")


@app.command()
def report(recipe: Recipe, lake: LakeUrl = None) -> None:
    """Write the page of a run and print the evaluation table.

    Example: r1 report demo
    """
    from r1data.recipe import load_recipe
    from r1data.report.evaluation import evaluation_text
    from r1data.report.page import write_report
    from r1data.storage import Lake

    opened = Lake.open(Settings.from_environment(lake=lake).lake)
    name = load_recipe(recipe).name
    print(evaluation_text(opened, name))
    print(write_report(opened, name))


@app.command()
def verify(lake: LakeUrl = None) -> None:
    """Check every file that a ref reaches against its manifest; exit 1 if any is missing or differs.

    Example: r1 verify
    """
    from r1data.manifest import corrupt_files
    from r1data.refs import list_refs, resolve
    from r1data.storage import Lake

    opened = Lake.open(Settings.from_environment(lake=lake).lake)
    manifests = {m.path: m for m in (resolve(opened, ref) for ref in list_refs(opened))}
    bad = [name for m in manifests.values() for name in corrupt_files(opened, m)]
    for name in bad:
        print(f"missing or different: {opened.uri(name)}")
    print(f"{len(manifests)} datasets and checkpoints, {len(bad)} bad files")
    if bad:
        raise typer.Exit(1)


@app.command()
def rollback(ref: Ref, lake: LakeUrl = None) -> None:
    """Point a ref at its target before this one.

    Example: r1 rollback demo/r1
    """
    from r1data.errors import LakeError
    from r1data.manifest import read_manifest
    from r1data.refs import move_ref, read_ref
    from r1data.storage import Lake

    opened = Lake.open(Settings.from_environment(lake=lake).lake)
    found = read_ref(opened, ref)
    if not found.history:
        raise LakeError(f"{ref} has no earlier target", "nothing was changed")
    move_ref(opened, ref, read_manifest(opened, found.history[0].path))
    print(f"{ref}: {found.current.digest[:12]} -> {found.history[0].digest[:12]}")


@app.command()
def doctor(lake: LakeUrl = None) -> None:
    """Say what this machine has and what is missing.

    Example: r1 doctor
    """
    from r1data.doctor import findings

    bad = 0
    for line in findings(Settings.from_environment(lake=lake)):
        print(f"{'OK   ' if line.ok else 'LOOK '} {line.what}: {line.told}")
        bad += not line.ok
    if bad:
        raise typer.Exit(1)
