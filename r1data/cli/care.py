"""Commands that look after the lake and the machine: verify, rollback, doctor."""

import typer

from r1data.cli.app import LakeUrl, RefName, app, opened, settings_of
from r1data.cli.printing import print_table
from r1data.errors import CorruptShard, LakeError

PANEL = "Looking after it"


@app.command(rich_help_panel=PANEL)
def verify(context: typer.Context, lake: LakeUrl = None) -> None:
    """Check every file that a ref reaches against its manifest; exit 1 if any is missing or differs.

    What was made from something has to find it, too. Files that no ref reaches are counted, and are no fault.

    Example: r1 verify
    """
    from r1data.garbage import garbage
    from r1data.inspect.faults import Looked, faults

    there, looked, bad = opened(context, lake), Looked(), 0
    for line in faults(there, looked):
        print(line)
        bad += 1
    print(f"{looked.manifests} datasets and checkpoints, {looked.files} files, {bad} faults")
    if bad:
        remedy = "restore them from a copy, or delete the directory of the dataset and run the recipe again"
        raise CorruptShard(f"{there.uri()}: {bad} faults, listed above", remedy)
    if looked.manifests:
        with garbage(there, 0) as orphans:
            if orphans:
                told = f"{orphans.objects} files, {orphans.bytes:,} bytes"
                print(f"no ref reaches {told}: `r1 gc` lists those that are old enough to go")


@app.command(rich_help_panel=PANEL)
def rollback(context: typer.Context, ref: RefName, lake: LakeUrl = None) -> None:
    """Point a ref at its target before this one. Nothing is deleted: the same command again goes forward.

    Example: r1 rollback demo/r1
    """
    from r1data.manifest import read_manifest
    from r1data.refs import move_ref, read_ref

    there = opened(context, lake)
    found = read_ref(there, ref)
    if not found.history:
        raise LakeError(f"{ref} has no earlier target", "nothing was changed")
    move_ref(there, ref, read_manifest(there, found.history[0].path))
    print(f"{ref}: {found.current.digest[:12]} -> {found.history[0].digest[:12]}")


@app.command(rich_help_panel=PANEL)
def doctor(context: typer.Context, lake: LakeUrl = None) -> None:
    """Say what this machine has and what is missing; exit 1 if a run needs what is missing.

    Example: r1 doctor
    """
    from r1data.doctor import findings

    lines = list(findings(settings_of(context, lake)))
    states = ["OK" if line.ok else "BAD" if line.needed else "LOOK" for line in lines]
    print_table(("", "what", "found"), [(s, x.what, x.told) for s, x in zip(states, lines, strict=True)])
    if "BAD" in states:
        raise typer.Exit(1)
