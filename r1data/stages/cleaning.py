"""What leaves where the recipe asks for it: contaminated text; after the gates, near-duplicates too."""

from dataclasses import replace

from r1data.cleaning_params import DedupParams
from r1data.recipe import Recipe
from r1data.step import Node
from r1data.steps.decontaminate import (
    CONTAMINATED,
    CONTAMINATED_CANDIDATES,
    CONTAMINATED_EXAMPLES,
    DECONTAMINATED,
    DECONTAMINATED_EXAMPLES,
    ExamplesParams,
)
from r1data.steps.near_duplicates import DUPLICATES, SIGNATURES


def decontaminated(recipe: Recipe, given: str, name: str) -> list[Node]:
    """The problems of node `given` without the contaminated ones, as node `name`, and what left; nothing if off."""
    params = recipe.decontamination
    if params is None:
        return []
    gone = Node("problems/contaminated", "foundations", CONTAMINATED, params, {"problems": given})
    return [gone, Node(name, "foundations", DECONTAMINATED, params, {"problems": given, "drops": gone.name})]


def uncontaminated(recipe: Recipe, made: Node, template: str) -> list[Node]:
    """A node that makes examples of no candidates, without the contaminated ones, and what left; as it is if off.

    Under its name are the examples that stay, below it (`/given`) those that it made; `template`: what is around the
    question in their prompts.
    """
    if recipe.decontamination is None:
        return [made]
    given = replace(made, name=f"{made.name}/given")
    params = ExamplesParams(**recipe.decontamination.model_dump(), template=template)
    about = {"examples": given.name, "problems": "problems"}
    whole = frozenset({"problems"})
    gone = Node(f"{made.name}/contaminated", made.stage, CONTAMINATED_EXAMPLES, params, about, whole)
    left = {"examples": given.name, "contaminated": gone.name}
    return [given, gone, Node(made.name, made.stage, DECONTAMINATED_EXAMPLES, recipe.decontamination, left)]


def cleaned(recipe: Recipe, prefix: str, stage: str, dedup: DedupParams | None) -> tuple[list[Node], dict[str, str]]:
    """Nodes over the candidates below a prefix that passed the gates, and their drops by argument name.

    Those of contamination are cut like the candidates; near-duplicates are one table, `whole` to a map.
    """
    nodes: list[Node] = []
    drops: dict[str, str] = {}
    passed = {table: f"{prefix}/{table}" for table in ("candidates", "drops")}
    if recipe.decontamination:
        about = {**passed, "problems": "problems"}
        name = f"{prefix}/contaminated"
        whole = frozenset({"problems"})
        nodes.append(Node(name, stage, CONTAMINATED_CANDIDATES, recipe.decontamination, about, whole))
        drops["contaminated"] = name
    if dedup:
        signed = {**passed, "verdicts": f"{prefix}/verdicts", **drops}
        nodes.append(Node(f"{prefix}/signatures", stage, SIGNATURES, dedup, signed))
        found = Node(f"{prefix}/duplicates", stage, DUPLICATES, dedup, {"signatures": f"{prefix}/signatures"})
        nodes.append(found)
        drops["duplicates"] = found.name
    return nodes, drops
