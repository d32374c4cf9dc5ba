"""A pilot: a node's first prompts asked as the run would ask them, to know its price; the run uses these answers again.

The prompts are the first of the node's own, in its order, and the candidates the run's: it asks only for the rest.
"""

from collections.abc import Callable
from dataclasses import replace

from r1data.errors import LakeError, RecipeError
from r1data.manifest import Manifest
from r1data.plan import plan
from r1data.price import PriceLine, price
from r1data.progress import Watch
from r1data.recipe import Recipe
from r1data.run import Session, say
from r1data.settings import Settings
from r1data.spending import Spending
from r1data.stages import graph, node_named
from r1data.stages.sampling import GenerateParams
from r1data.step import Node
from r1data.storage import Lake


def pilot(
    recipe: str,
    settings: Settings,
    node: str,
    prompts: int,
    report: Callable[[str], None] = say,
    watch: Watch | None = None,
    spending: Spending | None = None,
) -> list[PriceLine]:
    """Ask the first prompts of a node, and price what is left of it: one line, none where the node is done.

    Raises `RecipeError` for a node that asks no checkpoint, `LakeError` where what it asks is not there yet.
    """
    with Session(recipe, settings, report, watch=watch, spending=spending) as session:
        found, params = _asking(session.recipe, node)
        inputs = _inputs(session.lake, session.recipe, recipe, found)
        few = params.model_copy(update={"problems": min(prompts, params.problems)})
        for _ in session.services.call(replace(found, params=few), "", inputs):
            pass  # what is asked is recorded
        lines = plan(session.lake, session.recipe)
        return [line for line in price(session.lake, session.recipe, lines) if line.node == node]


def _asking(recipe: Recipe, name: str) -> tuple[Node, GenerateParams]:
    node = node_named(recipe, name)
    if not isinstance(node.params, GenerateParams):
        asking = ", ".join(n.name for n in graph(recipe) if isinstance(n.params, GenerateParams))
        raise RecipeError(f"recipe {recipe.name}: node {name!r} asks no checkpoint", f"these do: {asking}")
    return node, node.params


def _inputs(lake: Lake, recipe: Recipe, given: str, node: Node) -> dict[str, Manifest]:
    lines = {line.node: line for line in plan(lake, recipe)}
    inputs, missing = {}, []
    for role, name in node.inputs.items():
        manifest = lines[name].manifest
        if manifest is None:
            missing.append(name)
        else:
            inputs[role] = manifest
    if missing:
        stage = lines[missing[-1]].stage
        what = f"{node.name}: {' and '.join(missing)} not in the lake yet, for this recipe as it is"
        raise LakeError(what, f"run first: r1 run {given} --stage {stage}")
    return inputs
