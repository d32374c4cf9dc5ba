"""Commands about gates: tune-gates."""

from typing import Annotated

import typer

from r1data.cli.app import LakeUrl, RefName, app, opened
from r1data.cli.printing import print_table

PANEL = "Recipes"


@app.command(rich_help_panel=PANEL)
def tune_gates(
    context: typer.Context,
    ref: RefName,
    keep: Annotated[float, typer.Option(min=0, max=100, help="percent of the correct candidates to keep")] = 99,
    lake: LakeUrl = None,
) -> None:
    """Suggest thresholds from percentiles of what was measured, and say what each would drop; nothing is rescored.

    The histograms go to a page in the lake.

    Example: r1 tune-gates demo/sft_mix/measures --keep 95
    """
    from r1data.report import tuning

    there = opened(context, lake)
    found = tuning.tuned(there, ref, keep)
    print_table(tuning.PERCENTILE_COLUMNS, tuning.percentile_rows(found))
    print()
    print_table(tuning.DROP_COLUMNS, tuning.drop_rows(found))
    print(f"\n{tuning.write_tuning(there, ref, found, keep)}")
