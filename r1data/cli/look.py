"""Commands that look at the lake: status, show, trace, why."""

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from r1data.cli.app import LakeUrl, RefName, RowId, app, opened
from r1data.cli.printing import print_record, print_table
from r1data.errors import LakeError

if TYPE_CHECKING:
    from r1data.inspect.find import Finding

PANEL = "Looking at the lake"


@app.command(rich_help_panel=PANEL)
def status(context: typer.Context, lake: LakeUrl = None) -> None:
    """List the refs of the lake by recipe: how many rows or steps, how old, which content.

    Example: r1 status --lake s3://bucket/lake
    """
    from r1data.inspect.show import age, amount
    from r1data.refs import list_refs, resolve

    there = opened(context, lake)
    refs, broken, body = list_refs(there), [], []
    for ref in refs:
        try:
            m = resolve(there, ref)
        except LakeError as e:
            broken.append(str(e))
            body.append((ref, "BAD", "-", "-", "-"))
        else:
            body.append((ref, m.kind, amount(m), f"{age(time.time() - m.finished)} ago", m.digest[:12]))
    if refs:
        print_table(("ref", "kind", "holds", "made", "digest"), body)
    recipes = {ref.split("/")[0] for ref in refs}
    told = f"{len(refs)} refs of {', '.join(sorted(recipes))}" if refs else "no refs yet; `r1 run demo` makes some"
    print(f"lake {there.uri()}: {told}")
    if broken:
        raise LakeError(f"{len(broken)} refs lead nowhere:\n" + "\n".join(broken), "the other refs can be used")


@app.command(rich_help_panel=PANEL)
def show(
    context: typer.Context,
    ref: RefName,
    rows: Annotated[int, typer.Option(help="how many rows to print")] = 3,
    lake: LakeUrl = None,
) -> None:
    """Show what a ref points to: where from, parameters, counts, checks, first rows.

    Example: r1 show demo/cold_start --rows 1
    """
    from r1data.inspect.show import show as shown

    found = shown(opened(context, lake), ref, rows)
    for i, (label, text) in enumerate(found.facts):
        print(f"{label}: {text}" if i == 0 else f"  {label:<8} {text}")
    for i, row in enumerate(found.rows):
        print_record(f"row {i + 1}", row)


@app.command(rich_help_panel=PANEL)
def trace(context: typer.Context, row: RowId, lake: LakeUrl = None) -> None:
    """Follow a row to its problem, checkpoint and verdict, to the datasets that hold it and the models trained on it.

    Example: r1 trace 3fa94c
    """
    from r1data.inspect.trace import trace as trace_of

    found = trace_of(opened(context, lake), row)
    own = [f for f in found.findings if f.key == found.row_id]
    for title, findings in (("row", own), ("comes from", found.ancestors)):
        for refs, table, values in _once(findings):
            print_record(f"{title}: {', '.join(refs)} [{table}]", values)
    for title, names in (
        ("written by", found.models),
        ("is in or named in", found.datasets),
        ("trained on it", found.trained),
        ("built on those", found.descendants),
    ):
        print(f"{title}: {', '.join(names) or '-'}")


def _once(findings: "Iterable[Finding]") -> "Iterable[tuple[list[str], str, dict[str, Any]]]":
    """(refs, table, row): a row that several datasets hold with the same values is told once."""
    found: dict[tuple[str, str], tuple[list[str], str, dict[str, Any]]] = {}
    for f in findings:
        found.setdefault((f.table, repr(f.row)), ([], f.table, f.row))[0].append(f.ref)
    return found.values()


@app.command(rich_help_panel=PANEL)
def why(context: typer.Context, row: RowId, lake: LakeUrl = None) -> None:
    """Say why a row was dropped (or the rows of a problem): gate, reason, value, evidence.

    Example: r1 why 3fa94c
    """
    from r1data.inspect.trace import why as why_of

    findings = why_of(opened(context, lake), row)
    for f in findings:
        title = f"{f.ref}: {f.row['row_id']} left at gate {f.row['gate']}: {f.row['reason']} {f.row['value']}".rstrip()
        print_record(title, {"problem_id": f.row["problem_id"], "evidence": f.row["evidence"]})
    if not findings:
        print(f"{row}: not dropped anywhere; `r1 trace {row}` says where it is")
