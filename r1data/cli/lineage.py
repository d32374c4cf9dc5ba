"""Commands about lineage: push its events to an OpenLineage backend."""

from typing import Annotated

import typer

from r1data.cli.app import LakeUrl, app, opened, settings_of

PANEL = "Looking at the lake"
lineage = typer.Typer(help="Where things came from: show the graph, send its events elsewhere.", no_args_is_help=True)
app.add_typer(lineage, name="lineage", rich_help_panel=PANEL)


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
    from r1data.replay import Backend, moment, stored, told
    from r1data.replay import push as push_events

    there = opened(context, lake)
    backend = Backend(url, settings_of(context, lake).openlineage_key)
    events = stored(there, moment(since) if since else None)
    print(f"lake {there.uri()}: {told(events)}")
    if dry_run:
        print(f"nothing was sent (--dry-run); they would go to {backend.url}")
    else:
        print(f"{push_events(there, events, backend):,} events sent to {backend.url}")
