"""What a run would do before it does it: every node done, to run (and why), or dependent on one that runs.

A dependent node may still be skipped at run time, when what it depends on comes out with the same content.
"""

from dataclasses import dataclass
from typing import Any, Literal

from r1data.errors import CorruptShard
from r1data.keeping import kept_checkpoints
from r1data.manifest import Manifest, find_manifest, read_manifest
from r1data.pins import pinned
from r1data.recipe import Recipe
from r1data.refs import find_ref
from r1data.review import read_review, undecided
from r1data.reviewing import decided
from r1data.stages import graph
from r1data.step import ELSEWHERE, Node
from r1data.steps.reviewed import ReviewedParams
from r1data.storage import Lake


@dataclass(frozen=True)
class PlanLine:
    """One node's fate and the reason for it; with its manifest if it is done."""

    node: str
    stage: str
    status: Literal["done", "run", "depends"]
    reason: str
    manifest: Manifest | None = None


def plan(lake: Lake, recipe: Recipe) -> list[PlanLine]:
    """The fate of every node of the recipe on this lake, in order; raises what `kept_checkpoints` raises."""
    nodes = graph(pinned(recipe))
    kept = kept_checkpoints(lake, nodes)
    done = dict(kept)
    return [_kept(node, kept[node.name]) if node.kept else _line(lake, recipe, node, done) for node in nodes]


def finished(lines: list[PlanLine]) -> bool:
    """Whether there is nothing to do."""
    return all(line.status == "done" for line in lines)


def _line(lake: Lake, recipe: Recipe, node: Node, done: dict[str, Manifest]) -> PlanLine:
    found = {**done, **_elsewhere(lake, node)}
    waiting = [name for name in node.inputs.values() if name not in found]
    if waiting:
        return PlanLine(node.name, node.stage, "depends", f"on {', '.join(waiting)}")
    if isinstance(node.params, ReviewedParams):
        review = read_review(lake, found["cold_start"])
        if recipe.cold_start.review == "wait" and undecided(review):
            return PlanLine(node.name, node.stage, "depends", "on a person's review")
        node = decided(node, review) if review else node
    digests = {role: found[name].digest for role, name in node.inputs.items()}
    folder = node.folder(node.key(digests))
    if manifest := find_manifest(lake, folder):
        done[node.name] = manifest
        return PlanLine(node.name, node.stage, "done", f"{manifest.rows} rows", manifest)
    return PlanLine(node.name, node.stage, "run", _why(lake, recipe, node, digests))


def _kept(node: Node, manifest: Manifest) -> PlanLine:
    return PlanLine(node.name, node.stage, "done", f"kept: {node.kept}, {manifest.digest[:12]}", manifest)


def _elsewhere(lake: Lake, node: Node) -> dict[str, Manifest]:
    """The inputs that other recipes made, as far as this lake has them."""
    names = set(node.inputs.values()) - node.needs
    refs = {name: ref for name in names if (ref := find_ref(lake, name.removeprefix(ELSEWHERE)))}
    return {name: read_manifest(lake, ref.current.path) for name, ref in refs.items()}


def _why(lake: Lake, recipe: Recipe, node: Node, digests: dict[str, str]) -> str:
    try:
        ref = find_ref(lake, f"{recipe.name}/{node.name}")
        old = find_manifest(lake, ref.current.path) if ref else None
    except CorruptShard:
        old = None
    if old is None:
        return "never run"
    if old.version != node.step.version or old.step != node.step.name:
        return f"step {old.step} {old.version} -> {node.step.name} {node.step.version}"
    changed = sorted(_changes(old.params, node.params.model_dump(mode="json")))
    if changed:
        return "; ".join(changed)
    moved = [p.role for p in old.parents if digests.get(p.role) != p.digest]
    return f"input changed: {', '.join(moved)}" if moved else "not committed"


def _changes(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    lines: list[str] = []
    for key in sorted(old.keys() | new.keys()):
        a, b = old.get(key), new.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            lines += _changes(a, b, f"{prefix}{key}.")
        elif a != b:
            lines.append(f"{prefix}{key}: {_short(a)} -> {_short(b)}")
    return lines


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
