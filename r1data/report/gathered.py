"""All that the page of a run tells, read from the lake once: manifests, estimates, funnels, audits."""

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from r1data.errors import LakeError
from r1data.manifest import Manifest, find_manifest
from r1data.refs import Current, read_ref
from r1data.report import audit, claims, evaluation
from r1data.report.claims import Difference
from r1data.report.evaluation import ORDER, Estimate
from r1data.report.funnel import Passage, passages
from r1data.storage import Lake

# The recipe as people tell it; what is not named here comes last of what could come next.
STORY = (
    *("problems", "corpus", "base", "zero", "cold_start", "dev1", "dev2", "sft_mix", "dev3"),
    *("preferences", "safety_labels", "rm_helpful", "rm_safe", "r1", "student_base", "distill", "student_rl"),
)
RESULTS = ("base", "zero", "dev1", "dev2", "dev3", "r1")


@dataclass(frozen=True)
class Run:
    """What the refs of one recipe point to; `nodes` by name, inputs before what was made of them."""

    lake: Lake
    recipe: str
    refs: Current
    nodes: Mapping[str, Manifest]

    @cached_property
    def main(self) -> dict[str, Manifest]:
        """The datasets and checkpoints that the recipe is told by; the others are on the way to them."""
        return {name: m for name, m in self.nodes.items() if "/" not in name}

    @cached_property
    def estimates(self) -> dict[str, dict[str, Estimate]]:
        """checkpoint -> metric -> estimate."""
        return evaluation.estimates(self.lake, self.recipe, self.refs)

    @cached_property
    def shares(self) -> dict[str, pl.DataFrame]:
        """(problem_id, share) by checkpoint."""
        return claims.shares_by_checkpoint(self.refs, self.recipe, self.estimates)

    @cached_property
    def changes(self) -> dict[str, Difference]:
        """By checkpoint: points of pass@1 above the evaluation that its ref pointed to before, over shared problems."""
        found = {}
        for name, shares in self.shares.items():
            ref = f"{self.recipe}/eval/{name}/verdicts"
            history = read_ref(self.lake, ref).history if ref in self.refs else ()
            before = find_manifest(self.lake, history[0].path) if history else None
            if before and (d := claims.difference(shares, claims.shares_of(self.lake, before))):
                found[name] = d
        return found

    @cached_property
    def passages(self) -> list[Passage]:
        """Every funnel."""
        return passages(self.refs, self.recipe)

    @cached_property
    def audits(self) -> list[tuple[str, pl.DataFrame]]:
        """What a second method judged again."""
        return audit.audits(self.refs, self.recipe)

    @cached_property
    def result(self) -> str | None:
        """The evaluated checkpoint that the recipe has come to: r1 once it is there."""
        reached = [name for name in (*RESULTS, *ORDER) if name in self.estimates]
        return next((name for name in reversed(RESULTS) if name in reached), reached[0] if reached else None)

    def made_from(self, name: str) -> list[str]:
        """The nodes of `main` that a node was made from, straight or by way of others."""
        prefix, stack, seen = f"{self.recipe}/", [name], {name}
        found: set[str] = set()
        while stack:
            for parent in self.nodes[stack.pop()].parents:
                above = parent.name.removeprefix(prefix)
                if above in self.main:
                    found.add(above)
                elif above in self.nodes and above not in seen:
                    seen.add(above)
                    stack.append(above)
        return [n for n in self.main if n in found and n != name]


def gathered(lake: Lake, recipe: str) -> Run:
    """Of a recipe; `LakeError` where the lake holds nothing of it."""
    refs, prefix = Current(lake), f"{recipe}/"
    found = {ref.removeprefix(prefix): refs[ref] for ref in refs.of(recipe)}
    if not found:
        raise LakeError(f"{lake.url}: nothing of recipe {recipe!r} is here yet", f"r1 run {recipe}")
    above = {n: {p.name.removeprefix(prefix) for p in m.parents} & found.keys() for n, m in found.items()}
    return Run(lake, recipe, refs, {name: found[name] for name in told_in_order(above)})


def told_in_order(above: Mapping[str, Iterable[str]]) -> list[str]:
    """Nodes after what they were made from, and of those that could come next the first of the story."""
    waits = {name: set(names) for name, names in above.items()}
    below: dict[str, list[str]] = {name: [] for name in above}
    for name, names in waits.items():
        for n in names:
            below[n].append(name)
    heap = [(_place(n), n) for n, names in waits.items() if not names]
    heapq.heapify(heap)
    order = []
    while heap:
        name = heapq.heappop(heap)[1]
        order.append(name)
        for n in below[name]:
            waits[n].discard(name)
            if not waits[n]:
                heapq.heappush(heap, (_place(n), n))
    return order


def _place(name: str) -> int:
    first = name.partition("/")[0]
    return STORY.index(first) if first in STORY else len(STORY)
