"""What of a recipe is current for others: the refs `current/RECIPE/CHECKPOINT`, moved only where nothing got worse.

A run moves the refs of its nodes as it goes; these move at its end, all or none. Worse is a paired difference of pass@1
to the current checkpoint whose 95 % interval lies below 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from r1data.manifest import Manifest, read_manifest
from r1data.refs import RefTarget, list_refs, move_ref, read_ref, resolve
from r1data.report.claims import Difference, difference, shares_of
from r1data.storage import Lake

CHECKPOINTS = ("r1", "distill")
COLUMNS = ("checkpoint", "outcome", "difference to the current one, points of pass@1", "95 % interval", "problems")

Outcome = Literal["first", "same", "kept up", "worse", "not comparable", "rolled back"]
STOPS = ("worse", "not comparable")


@dataclass(frozen=True)
class Comparison:
    """A checkpoint of the run against the one that is current."""

    checkpoint: str
    outcome: Outcome
    made: Manifest
    difference: Difference | None = None

    @property
    def cells(self) -> tuple[str, ...]:
        """The line's cells, in the order of COLUMNS."""
        d = self.difference
        told = (f"{d.value:+.1f}", f"{d.low:+.1f} to {d.high:+.1f}", str(d.problems)) if d else ("-", "-", "-")
        return self.checkpoint, self.outcome, *told


def current_ref(recipe: str, checkpoint: str) -> str:
    """The ref that others use."""
    return f"current/{recipe}/{checkpoint}"


def comparisons(lake: Lake, recipe: str) -> list[Comparison]:
    """Every checkpoint for others that the recipe has made and evaluated."""
    refs = set(list_refs(lake))
    made = [c for c in CHECKPOINTS if {f"{recipe}/{c}", _verdicts(recipe, c)} <= refs]
    return [_comparison(lake, recipe, c, current_ref(recipe, c) in refs) for c in made]


def published(lake: Lake, recipe: str) -> list[Comparison]:
    """Compare and, unless one is worse or cannot be compared, move the refs; a roll-back stays until something new."""
    found = comparisons(lake, recipe)
    if not any(c.outcome in STOPS for c in found):
        for c in found:
            if c.outcome in ("first", "kept up"):
                move_ref(lake, current_ref(recipe, c.checkpoint), c.made)
    return found


def refusal(found: Sequence[Comparison]) -> str:
    """Why nothing was moved; empty if it was."""
    return "; ".join(f"{c.checkpoint} is {c.outcome} ({' '.join(c.cells[2:4])})" for c in found if c.outcome in STOPS)


def _comparison(lake: Lake, recipe: str, checkpoint: str, known: bool) -> Comparison:
    made = resolve(lake, f"{recipe}/{checkpoint}")
    if not known:
        return Comparison(checkpoint, "first", made)
    ref = read_ref(lake, current_ref(recipe, checkpoint))
    target = RefTarget(path=made.path, digest=made.digest)
    if ref.current.digest == made.digest:
        return Comparison(checkpoint, "same", made)
    if target in ref.history:
        return Comparison(checkpoint, "rolled back", made)
    name = _verdicts(recipe, checkpoint)
    before = _verdicts_of(lake, name, ref.current.digest)
    if before is None:
        return Comparison(checkpoint, "not comparable", made)
    d = difference(shares_of(lake, resolve(lake, name)), shares_of(lake, before))
    outcome: Outcome = "not comparable" if d is None else "worse" if d.high < 0 else "kept up"
    return Comparison(checkpoint, outcome, made, d)


def _verdicts(recipe: str, checkpoint: str) -> str:
    return f"{recipe}/eval/{checkpoint}/verdicts"


def _verdicts_of(lake: Lake, name: str, model: str) -> Manifest | None:
    """The latest verdicts under a ref, earlier targets among them, about candidates of a model."""
    ref = read_ref(lake, name)
    for target in (ref.current, *ref.history):
        verdicts = read_manifest(lake, target.path)
        about = [p for p in verdicts.parents if p.role == "candidates"]
        if about and any(p.digest == model for p in read_manifest(lake, about[0].path).parents if p.role == "model"):
            return verdicts
    return None
