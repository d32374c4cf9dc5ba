"""Runs of one stage: a lake that holds what the stage needs, as an undisturbed run made it, and nothing after.

A whole run takes minutes of processor time; these put kills into late stages at a fraction of it.
"""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from r1data.manifest import MANIFEST
from r1data.recipe import load_recipe
from r1data.refs import ref_file, resolve
from r1data.stages import graph, needs_of_stages
from r1data.storage import Lake


def before(recipe: str, stage: str) -> set[str]:
    """All stages that a stage needs."""
    needs = needs_of_stages(graph(load_recipe(recipe)))
    found, following = set[str](), needs[stage]
    while following:
        found |= following
        following = {n for s in following for n in needs[s]} - found
    return found


def refs_of(recipe: str, stages: Iterable[str]) -> set[str]:
    """The refs that these stages publish."""
    loaded, chosen = load_recipe(recipe), set(stages)
    return {f"{loaded.name}/{node.name}" for node in graph(loaded) if node.stage in chosen}


def rarest(stages: Sequence[str], earlier: Iterable[str], rng: random.Random) -> str:
    """One of the stages that were taken least often before."""
    taken = Counter(earlier)
    least = min(taken[s] for s in stages)
    return rng.choice([s for s in stages if taken[s] == least])


def fill(source: Lake, target: Lake, recipe: str, stage: str) -> int:
    """Copy what a stage needs, each ref after all that it points to; how many objects."""
    names = [n for ref in sorted(refs_of(recipe, before(recipe, stage))) for n in _objects(source, ref)]
    names += source.names("reviews")
    later = [[n for n in names if _rank(n) == rank] for rank in range(3)]
    for some in later:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda name: target.write(name, source.read(name)), sorted(set(some))))
    return len(set(names))


def _objects(lake: Lake, ref: str) -> Iterator[str]:
    manifest = resolve(lake, ref)
    yield from (e.path for e in (*manifest.entries, *manifest.beside))
    yield from lake.names(manifest.path)
    yield ref_file(ref)


def _rank(name: str) -> int:
    """Files, then manifests, then refs."""
    return 2 if name.startswith("refs/") else int(name.endswith(MANIFEST))
