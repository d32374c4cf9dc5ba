"""Commands about lineage: the graph, its events to a backend, what is downstream of something, what differs."""

from pathlib import Path
from typing import Annotated

import typer

from r1data.cli.app import LakeUrl, RefName, app, opened, settings_of
from r1data.cli.printing import print_table

PANEL = "Looking at the lake"
lineage = typer.Typer(help="Where things came from: show the graph, send its events elsewhere.", no_args_is_help=True)
app.add_typer(lineage, name="lineage", rich_help_panel=PANEL)


@lineage.command()
def show(
    context: typer.Context,
    ref: RefName,
    html: Annotated[
        Path | None, typer.Option(help="write a page with the graph, up- and downstream, to this file", dir_okay=False)
    ] = None,
    lake: LakeUrl = None,
) -> None:
    """Show what a ref's target was made from, back to the sources, as a tree; the beginning of a digest names it too.

    With --html also what was made from it, as one page for the browser: zoom, search, click for more. Of more than
    200 it shows stages first, which open on a click. It needs no network and no server.

    Example: r1 lineage show demo/r1 --html lineage.html
    """
    from r1data.errors import LakeError
    from r1data.inspect.graph import manifest_at, read_graph
    from r1data.inspect.picture import page, tree

    there = opened(context, lake)
    graph = read_graph(there)
    path = manifest_at(there, graph, ref).path
    for line in tree(graph, path):
        print(line)
    if html is not None:
        try:
            html.write_text(page(graph, path), encoding="utf-8")
        except OSError as e:
            raise LakeError(f"{html}: {e}", "name a file in a folder that can be written to") from e
        print(f"page: {html}")


@lineage.command()
def push(
    context: typer.Context,
    url: Annotated[str, typer.Argument(help="an OpenLineage backend, such as http://localhost:5000", metavar="URL")],
    since: Annotated[
        str | None, typer.Option(help="only events from then on: 2026-11-20, 2026-11-20T03:00 (UTC), 12h or 7d")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would be sent, and send nothing")] = False,
    lake: LakeUrl = None,
) -> None:
    """Send the lake's OpenLineage events to Marquez or any other backend, oldest first, one request an event.

    What was sent before may be sent again: it is the same run, type and time. A server error or a timeout is tried
    again; after that an error says from which time on to go on. The API key, if any, is R1_OPENLINEAGE_KEY.
    Without a path in URL, events go to /api/v1/lineage.

    Example: r1 lineage push http://localhost:5000 --since 7d
    """
    from r1data.ends import write_ends
    from r1data.replay import Backend, moment, stored, told
    from r1data.replay import push as push_events

    there = opened(context, lake)
    backend = Backend(url, settings_of(context, lake).openlineage_key)
    if not dry_run:
        write_ends(there)
    events = stored(there, moment(since) if since else None)
    print(f"lake {there.uri()}: {told(events)}")
    if dry_run:
        print(f"nothing was sent (--dry-run); they would go to {backend.url}")
    else:
        print(f"{push_events(there, events, backend):,} events sent to {backend.url}")


@app.command(rich_help_panel=PANEL)
def impact(
    context: typer.Context,
    what: Annotated[
        str,
        typer.Argument(
            help="a ref, the beginning of a digest or of a row's id, or a source's name, file or URL", metavar="ID"
        ),
    ],
    lake: LakeUrl = None,
) -> None:
    """List everything downstream of a dataset, checkpoint, source or row: datasets, checkpoints, and their refs.

    Of a row or source, ids are followed: `rows` says how many rows name it, `all` that the whole was made from it.
    Looked at is what refs point to, pointed to before, and what that was made from.

    Example: r1 impact gsm8k
    """
    from r1data.inspect.graph import read_graph
    from r1data.inspect.impact import impact as impact_of

    there = opened(context, lake)
    found = impact_of(there, read_graph(there), what)
    body = []
    for t in found.touched:
        held = ", ".join(t.refs) or (f"before: {', '.join(t.earlier)}" if t.earlier else "-")
        rows = "all" if t.rows is None else f"{t.rows:,} rows"
        body.append((t.point.name, t.point.kind, rows, held, t.point.digest[:12]))
    if body:
        print_table(("made by", "kind", "touched", "refs", "digest"), body)
    kinds = [t.point.kind for t in found.touched]
    refs = {name for t in found.touched for name in t.refs}
    told = f"{kinds.count('dataset')} datasets, {kinds.count('checkpoint')} checkpoints, {len(refs)} refs downstream"
    print(f"{found.asked}: {told}" if body else f"{found.asked}: nothing is downstream")


@app.command(rich_help_panel=PANEL)
def diff(
    context: typer.Context,
    a: Annotated[str, typer.Argument(help="a ref, REF@DIGEST or the beginning of a digest", metavar="A")],
    b: Annotated[str, typer.Argument(help="another, of the same table, or two checkpoints", metavar="B")],
    rows: Annotated[int, typer.Option(min=0, help="how many changed rows to show")] = 5,
    lake: LakeUrl = None,
) -> None:
    """Say what differs between two datasets of one table, or two checkpoints.

    Rows are compared by key: added, removed, changed, by column, and from which code to which (verdicts, reasons).
    Parameters, inputs, code and counts are those of the manifests; of evaluations and trainings the metrics as well.
    An earlier target of a ref is named by its digest, alone or after the ref.

    Example: r1 diff demo/cold_start@3fa94c1b demo/cold_start
    """
    from r1data.cli.printing import print_diff
    from r1data.inspect.difference import compare
    from r1data.inspect.graph import manifest_at

    there = opened(context, lake)
    print_diff(a, b, compare(there, manifest_at(there, None, a), manifest_at(there, None, b), rows))
