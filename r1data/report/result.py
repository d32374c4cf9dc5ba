"""What the run came to: the first figures of its page, the table of checkpoints, and the claims."""

from collections.abc import Iterator

from r1data import html
from r1data.report import claims, evaluation
from r1data.report.claims import Difference, difference
from r1data.report.evaluation import NOTHING, Estimate, percent
from r1data.report.gathered import Run

CHANGE = "since the last run"


def tiles(run: Run) -> Iterator[str]:
    """The checkpoint that the recipe came to, how far above the base, what changed, what is kept for training."""
    if run.result:
        first = run.estimates[run.result].get("pass@1", NOTHING)
        told = f"95 %: {percent(first.low)} to {percent(first.high)}"
        yield html.tile(f"{run.result}: pass@1", f"{percent(first.value)} %", told, _asked(first), kind="main")
        yield from _above(run, run.result)
        yield _since(run.changes.get(run.result))
    for name, m in run.main.items():
        if (m.table or "").startswith("sft_examples/"):
            yield html.tile(name, f"{m.rows:,}", "examples to train on", _of(run, name))


def _asked(first: Estimate) -> str:
    return f"{first.problems:,} problems, {first.samples:,} samples" if first.problems else ""


def _above(run: Run, result: str) -> Iterator[str]:
    if "base" in run.shares and result != "base" and (d := difference(run.shares[result], run.shares["base"])):
        yield html.tile("above base", f"{d.value:+.1f}", "points of pass@1", _interval(d))


def _since(d: Difference | None) -> str:
    if d is None:
        return html.tile(CHANGE, "first", "no earlier evaluation to compare with")
    kind = "no worse" if d.high >= 0 else "worse beyond the interval"
    return html.tile(CHANGE, f"{d.value:+.1f}", "points of pass@1", _interval(d), kind)


def _interval(d: Difference) -> str:
    return f"95 %: {d.low:+.1f} to {d.high:+.1f}"


def _of(run: Run, name: str) -> str:
    found = [p.funnel.rows_in for p in run.passages if p.name == name]
    return f"of {found[0]:,} candidates" if found and found[0] else ""


def evaluated(run: Run) -> Iterator[str]:
    """The table of checkpoints with a drawing of every interval; what changed, where something did."""
    if not run.estimates:
        yield html.paragraph("Nothing is evaluated yet.")
        return
    yield html.paragraph(
        "Shares in percent with 95 % bootstrap intervals over problems, length in tokens. Undecided samples and those "
        "without a language are left out and counted."
    )
    before, (first, *rest) = run.changes, evaluation.COLUMNS
    rows = []
    for name, *cells in evaluation.rows_of(run.estimates):
        estimate = run.estimates[name].get("pass@1", NOTHING)
        change = [f"{d.value:+.1f} ({d.low:+.1f} to {d.high:+.1f})" if (d := before.get(name)) else "-"]
        rows.append((name, *cells[:2], _drawn(estimate), *(change if before else []), *cells[2:]))
    yield html.table((first, *rest[:2], "0 to 100 %", *([CHANGE] if before else []), *rest[2:]), rows)


def _drawn(e: Estimate) -> str:
    if e.value is None:
        return "-"
    return html.span(e.value, e.low if e.low is not None else e.value, e.high if e.high is not None else e.value)


def claimed(run: Run) -> Iterator[str]:
    """What the recipe is meant to show, held against what was measured."""
    if run.estimates:
        yield html.heading("Claims", 3)
        yield html.paragraph("Differences are paired by problem. The figures wanted are those of the demo recipe.")
        found = claims.claims_of(run.estimates, run.shares)
        yield html.table(claims.COLUMNS, ((*c.cells[:-1], _holds(c.holds)) for c in found))


def _holds(holds: str) -> str:
    sign = {"yes": "✓ ", "no": "✗ "}.get(holds, "")
    return html.Markup(f'<span class="{holds}">{sign}{holds}</span>') if sign else holds
