"""Where a row came from, what was found about it, and what was made of it: from the lake alone.

Up: the rows that its id columns name (problem, candidate, verdict, measures, drops). Down: the datasets that hold it
and the checkpoints trained on them. A problem counts as trained on only where rollouts show it: a problem set is split.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from r1data.ids import ID_COLUMNS
from r1data.inspect.find import Finding, full_id, reached, rows_with
from r1data.manifest import Manifest
from r1data.storage import Lake


@dataclass(frozen=True)
class Trace:
    """The row wherever it is, its ancestors, the models that wrote it, and (as refs) what holds or learnt from it."""

    row_id: str
    findings: tuple[Finding, ...]
    ancestors: tuple[Finding, ...]
    models: tuple[str, ...]
    datasets: tuple[str, ...]
    trained: tuple[str, ...]
    descendants: tuple[str, ...]


def trace(lake: Lake, row_id: str) -> Trace:
    """Follow a row, given its id or the beginning of it; `LakeError` if no ref reaches it or several begin that way."""
    manifests = reached(lake)
    whole = full_id(lake, manifests, row_id)
    findings = tuple(rows_with(lake, manifests, {whole}))
    above = {str(f.row[c]) for f in findings for c in ID_COLUMNS if f.row.get(c)} - {whole}
    own = any(f.key == whole and f.table != "problems" for f in findings)
    # A problem is named by thousands of rows; what they name in turn is not where the problem came from.
    ancestors = tuple(rows_with(lake, manifests, above, key_only=True)) if own else ()
    holders = {f.path for f in findings if f.table not in ("problems", "rollouts")}
    trained = {n for n, m in manifests.items() if m.kind == "checkpoint" and any(p.path in holders for p in m.parents)}
    practised = {f.path for f in findings if f.table == "rollouts"}
    trained |= {n for n, m in manifests.items() if m.path in practised}
    return Trace(
        row_id=whole,
        findings=findings,
        ancestors=ancestors,
        models=_models(manifests, (*findings, *ancestors)),
        datasets=tuple(sorted(n for n, m in manifests.items() if m.path in {f.path for f in findings})),
        trained=tuple(sorted(trained)),
        descendants=_descendants(manifests, trained),
    )


def why(lake: Lake, row_id: str) -> list[Finding]:
    """The drops of a row (or of a problem's rows): gate, reason, value, evidence; empty if nothing was dropped."""
    manifests = reached(lake)
    whole = full_id(lake, manifests, row_id)
    drops = {n: m for n, m in manifests.items() if m.table and m.table.startswith("drops/")}
    return list(rows_with(lake, drops, {whole}))


def _models(manifests: Mapping[str, Manifest], findings: tuple[Finding, ...]) -> tuple[str, ...]:
    """The checkpoints that wrote the candidates, as their manifests name them."""
    by_path = {m.path: m for m in manifests.values()}
    written = {(f.path, str(f.row["model_digest"])) for f in findings if f.table == "candidates"}
    parents = {
        f"{p.name} {digest[:12]}" for path, digest in written for p in by_path[path].parents if p.digest == digest
    }
    return tuple(sorted(parents))


def _descendants(manifests: Mapping[str, Manifest], trained: set[str]) -> tuple[str, ...]:
    """Checkpoints that started from, or learnt from data of, those in `trained`; themselves left out."""
    paths = {manifests[n].path for n in trained}
    found: set[str] = set()
    while True:
        more = {n for n, m in manifests.items() if n not in found and any(p.path in paths for p in m.parents)}
        if not more:
            return tuple(sorted(n for n in found - trained if manifests[n].kind == "checkpoint"))
        found |= more
        paths |= {manifests[n].path for n in more}
