"""Commands about gates: funnel, tune-gates."""

from typing import Annotated

import typer

from r1data.cli.app import LakeUrl, RefName, app, opened
from r1data.cli.printing import print_record, print_table

PANEL = "Recipes"


@app.command(rich_help_panel="Looking at the lake")
def funnel(
    context: typer.Context,
    ref: Annotated[str, typer.Argument(help="a recipe, a stage such as demo/sft_mix, or dropped rows", metavar="REF")],
    examples: Annotated[int, typer.Option(min=0, help="how many dropped rows to print for each reason")] = 0,
    lake: LakeUrl = None,
) -> None:
    """Say how many rows went in, left by gate and reason, and were kept.

    Example: r1 funnel demo/sft_mix --examples 10
    """
    from r1data.report import funnel as report

    there = opened(context, lake)
    for name in report.drops_of(there, ref):
        print(f"{name}:")
        print_table(report.COLUMNS, report.funnel(there, name).cells)
        shown = report.dropped(there, name, examples) if examples else {}
        for (gate, reason), rows in shown.items():
            for row in rows:
                print_record(f"{gate}: {reason} {row.value}".rstrip(), {"evidence": row.evidence})


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
