"""The order of the paper, stage by stage. A node uses only nodes of the same or earlier stages (checked)."""

import difflib
from collections.abc import Iterable
from dataclasses import replace
from typing import Literal, get_args

from r1data.errors import RecipeError
from r1data.recipe import Recipe
from r1data.stages import cold_start, evaluate, foundations, mix, rewards, training
from r1data.step import ELSEWHERE, Node

# A type, so that Prefect's form of a single stage lists the same names
StageName = Literal[
    "foundations",
    "zero",
    "cold_start",
    "dev1",
    "dev2",
    "sft_mix",
    "dev3",
    "rewards",
    "r1",
    "distill",
    "student_rl",
    "evaluate",
]
STAGES: tuple[str, ...] = get_args(StageName)


def graph(recipe: Recipe) -> list[Node]:
    """All nodes of a recipe, inputs before users."""
    nodes = _with_kept(
        recipe,
        [
            *foundations.nodes(recipe),
            *training.zero(recipe),
            *cold_start.nodes(recipe),
            *training.dev1(recipe),
            *training.dev2(recipe),
            *mix.nodes(recipe),
            training.dev3(recipe),
            *rewards.nodes(recipe),
            *training.r1(recipe),
            training.distill(recipe),
            *training.student_rl(recipe),
            *evaluate.nodes(recipe),
        ],
    )
    _check(nodes)
    return nodes


def node_named(recipe: Recipe, name: str) -> Node:
    """The node of a name; unknown names are answered with the nearest."""
    nodes = {n.name: n for n in graph(recipe)}
    if name not in nodes:
        near = difflib.get_close_matches(name, nodes, n=2)
        hint = f"did you mean {' or '.join(near)}?" if near else f"nodes: {', '.join(nodes)}"
        raise RecipeError(f"recipe {recipe.name}: no node {name!r}", hint)
    return nodes[name]


def needs_of_stages(nodes: Iterable[Node]) -> dict[str, set[str]]:
    """For every stage, in order, the stages whose nodes its own use."""
    known = {n.name: n for n in nodes}
    needs: dict[str, set[str]] = {stage: set() for stage in STAGES if any(n.stage == stage for n in known.values())}
    for node in known.values():
        needs[node.stage] |= {known[name].stage for name in node.needs} - {node.stage}
    return needs


def needs_of_nodes(nodes: Iterable[Node], stage: str) -> dict[str, set[str]]:
    """For every node of a stage, in order, the nodes of that stage that it uses."""
    inside = {n.name: n for n in nodes if n.stage == stage}
    return {n.name: n.needs & inside.keys() for n in inside.values()}


def _with_kept(recipe: Recipe, nodes: list[Node]) -> list[Node]:
    """The nodes, those of [keep] without inputs; what is below them served their training alone and goes."""
    trained = [n.name for n in nodes if n.step.kind == "train"]
    for name in recipe.keep:
        if name not in trained:
            near = difflib.get_close_matches(name, trained, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise RecipeError(f"recipe {recipe.name}, [keep]: no training {name!r}", f"{hint}{', '.join(trained)}")
    refs = {name: ref.removeprefix(ELSEWHERE) for name, ref in recipe.keep.items()}
    below = tuple(f"{name}/" for name in refs)
    return [
        replace(n, inputs={}, kept=refs[n.name]) if n.name in refs else n for n in nodes if not n.name.startswith(below)
    ]


def _check(nodes: list[Node]) -> None:
    seen: set[str] = set()
    for node in nodes:
        missing = node.needs - seen
        assert not missing, f"{node.name} uses {missing} before they are made"
        assert node.stage in STAGES, f"{node.name}: unknown stage {node.stage}"
        seen.add(node.name)
