"""The stages of a run, one after another: how training went, what gates let through, rows kept and rows that left."""

from collections.abc import Iterator, Sequence

import polars as pl

from r1data import html
from r1data.inspect.lengths import pair_lengths
from r1data.inspect.show import age, amount
from r1data.manifest import Manifest
from r1data.report.curves import curves, metrics
from r1data.report.funnel import REPLACED, Dropped, Passage
from r1data.report.gathered import Run

HOW = {
    "pretrain": "pretraining",
    "sft": "supervised fine-tuning",
    "grpo": "reinforcement learning (GRPO)",
    "reward_model": "training of a reward model",
    "import_model": "an imported model",
}
SHORT = {"grpo": "GRPO", "sft": "SFT", "pretrain": "pretraining", "import_model": "imported"}
FUNNEL = ("", "", "rows", "share")


def how(manifest: Manifest) -> str:
    """A step in people's words."""
    return HOW.get(manifest.step, manifest.step.replace("_", " "))


def short_step(manifest: Manifest) -> str:
    """The same in a word or two."""
    return SHORT.get(manifest.step, manifest.step.replace("_", " "))


def stages(run: Run) -> Iterator[str]:
    """Every stage that has something to show."""
    shown: list[str] = []
    for name, m in run.main.items():
        mine = [p for p in run.passages if p.name.partition("/")[0] == name]
        shown += [p.name for p in mine]
        body = [*_curves(run, m), *(part for p in mine for part in passage(p)), *_lengths(run, m)]
        if body:
            yield html.heading(name, 3, f"stage-{name}")
            yield html.paragraph(f"{told(run, name)}.")
            yield from body
    for p in run.passages:
        if p.name not in shown:
            yield html.heading(p.name, 3, f"stage-{p.name}")
            yield from passage(p)


def told(run: Run, name: str) -> str:
    """A node in a line: by which step, from what, how much, how long."""
    m, above = run.main[name], run.made_from(name)
    origin = f" from {', '.join(reversed(above))}" if above else ""
    words = how(m)
    return f"{words[0].upper()}{words[1:]}{origin}: {amount(m)}, {age(m.finished - m.started)}"


def _curves(run: Run, checkpoint: Manifest) -> Iterator[str]:
    drawn: list[str] = []
    frame = metrics(run.lake, checkpoint)
    for plot in curves(frame):
        caption = f"{html.marked(plot.name)} <b>{plot.first:.3g} → {plot.last:.3g}</b>"
        drawn.append(html.figure(plot.told, plot.svg, html.Markup(caption)))
    if drawn:
        yield f'<div class="plots">{"".join(drawn)}</div>'
        yield from _table_of(frame)


def _table_of(frame: pl.DataFrame) -> Iterator[str]:
    last = frame.filter(pl.col("value").is_finite()).sort("step").group_by("metric", maintain_order=True).last()
    rows = [(m.replace("_", " "), f"{v:.5g}") for m, v in last.sort("metric").select("metric", "value").iter_rows()]
    yield html.folded(f"all {len(rows)} metrics at the last step", html.table(("metric", "value"), rows))


def passage(found: Passage) -> Iterator[str]:
    """A funnel as bars, each where it begins, and rows of both sides."""
    if "/" in found.name:
        yield html.heading(found.name.partition("/")[2], 4)
    yield html.table(FUNNEL, bars(found))
    gone = {reason: rows for (gate, reason, _) in found.funnel.left if (rows := found.dropped.get((gate, reason)))}
    first = next(iter(gone.values()), [])
    pair = [*(_kept(*e) for e in found.kept[:1]), *(_gone(d) for d in first[:1])]
    if pair:
        yield f'<div class="pair">{"".join(pair)}</div>'
    if more := found.kept[1:]:
        yield html.folded(f"{len(more)} more that were kept", _all([_kept(*e) for e in more]))
    for gate, reason, n in found.funnel.left:
        rows = found.dropped.get((gate, reason), [])
        title = f"dropped by {gate}: {reason.replace('_', ' ')}, {len(rows):,} of {n:,} rows"
        yield html.folded(title, _all([_gone(d) for d in rows]))


def bars(found: Passage) -> list[tuple[str, ...]]:
    """The table of a funnel: what left is drawn at the end of what was left before it."""
    whole, rest = max(1, found.funnel.rows_in or found.funnel.dropped), 1.0
    rows: list[tuple[str, ...]] = []
    reasons = [None, *found.funnel.left, None]
    for (words, n, share), line in zip(found.funnel.cells, reasons, strict=False):
        if line is None:
            drawn = html.bar(0, int(n.replace(",", "")) / whole, "kept")
        else:
            part = 0.0 if line[:2] in REPLACED else line[2] / whole
            rest -= part
            drawn = html.bar(rest, line[2] / whole, "lost")
        rows.append((words.removeprefix("- "), drawn, n, share))
    return rows


def _all(samples: Sequence[str]) -> str:
    return f'<div class="pair">{"".join(samples)}</div>'


def _kept(row: str, text: str) -> str:
    return html.Markup(f'<div class="sample"><h4>kept</h4>{html.said(text)}<small>{html.marked(row)}</small></div>')


def _gone(row: Dropped) -> str:
    why = html.marked(f"dropped by {row.gate}: {row.reason.replace('_', ' ')} {row.value}".rstrip())
    text, name = html.said(row.evidence), html.marked(row.row_id)
    return html.Markup(f'<div class="sample gone"><h4>{why}</h4>{text}<small>{name}</small></div>')


def _lengths(run: Run, dataset: Manifest) -> Iterator[str]:
    found = pair_lengths(run.lake, dataset)
    if found:
        yield html.heading("Lengths", 4)
        yield html.paragraph("Of what the reward model is shown; it learns length where these differ.")
        yield html.table(("", ""), found)
