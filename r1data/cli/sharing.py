"""The command that gives data away: export."""

from pathlib import Path
from typing import Annotated

import typer

from r1data.cli.app import LakeUrl, RefName, app, opened
from r1data.cli.look import PANEL


@app.command(rich_help_panel=PANEL)
def export(
    context: typer.Context,
    ref: RefName,
    folder: Annotated[Path, typer.Argument(help="a new or empty folder", file_okay=False)],
    lake: LakeUrl = None,
) -> None:
    """Write a dataset as a folder for `datasets.load_dataset`: Parquet under data/ and a README.md with its card.

    REF may be REF@DIGEST, an earlier target.

    Example: r1 export demo/sft_mix ./sft_mix
    """
    from r1data.export import export as export_of
    from r1data.refs import target

    there = opened(context, lake)
    manifest = target(there, ref)
    files = export_of(there, manifest, folder)
    size = sum(f.stat().st_size for f in files)
    print(f"{folder}: {manifest.rows:,} rows in {len(files) - 1} Parquet files and README.md, {size:,} bytes")
