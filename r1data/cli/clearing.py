"""The command that frees space: gc."""

import time
from itertools import chain, islice
from pathlib import Path
from typing import Annotated

import typer

from r1data.cli.app import LakeUrl, app, opened, settings_of
from r1data.cli.care import PANEL
from r1data.cli.printing import print_table

SHOWN_AT_ONCE = 1_000  # lines; their widths are found together


@app.command(rich_help_panel=PANEL)
def gc(
    context: typer.Context,
    delete: Annotated[bool, typer.Option("--delete", help="delete what is listed, after a question")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    older_than: Annotated[float, typer.Option(min=0, help="days; what is younger stays")] = 7,
    answers: Annotated[
        bool, typer.Option("--answers", help="give up old recorded answers too, whatever they cost")
    ] = False,
    lake: LakeUrl = None,
) -> None:
    """List what no ref reaches, with size and age; with --delete, delete it.

    A ref reaches its target, its earlier targets (rollback), and all that these were made from. What is younger than
    --older-than stays, with what it was made from; so does what a running lease is on. Answers of models stay as long
    as a recipe could use them: their checkpoint is reached, or the model is served elsewhere.

    Example: r1 gc --older-than 30
    """
    from r1data.garbage import DAY_S, garbage, remove_scratch, removed, scratch_garbage
    from r1data.inspect.show import age
    from r1data.uploads import abort, unfinished_uploads

    there, limit, now = opened(context, lake), older_than * DAY_S, time.time()
    with garbage(there, limit, answers=answers) as units:
        uploads = [u for u in unfinished_uploads(there) if u.started < now - limit]
        scratch = scratch_garbage(settings_of(context, lake).scratch, there, limit)
        body = chain(
            ((u.kind, f"{u.bytes:,}", age(now - u.modified), u.name, u.why) for u in units),
            (("upload", "-", age(now - u.started), u.name, "never ended") for u in uploads),
            (("scratch", f"{size:,}", age(now - t), str(path), "left by a run") for path, size, t in scratch),
        )
        while portion := list(islice(body, SHOWN_AT_ONCE)):
            print_table(("kind", "bytes", "age", "name", "why"), portion)
        number, size = len(units) + len(uploads) + len(scratch), units.bytes + sum(s for _, s, _ in scratch)
        print(f"lake {there.uri()}: {number} to delete, {size:,} bytes; what is younger than {older_than:g} days stays")
        if not (delete and number):
            print("nothing was deleted" + ("; `r1 gc --delete` deletes these" if number else ""))
            return
        if not yes:
            typer.confirm(f"delete these {number}?", abort=True)
        gone = removed(there, units, limit, answers=answers)
        for upload in uploads:
            abort(there, upload)
        remove_scratch(Path(p) for p, _, _ in scratch)
        print(f"deleted {gone + len(uploads) + len(scratch)}, {len(units) - gone} are in use again")
