"""Responses of dev3 judged in pairs and labelled, and the two reward models trained on them (paper 3.1)."""

from r1data.recipe import Recipe
from r1data.stages.sampling import GENERATE, GenerateParams, NoParams
from r1data.stages.training import REWARD_MODEL
from r1data.step import Node
from r1data.steps.preferences import PREFER, SAFETY


def nodes(recipe: Recipe) -> list[Node]:
    """candidates of dev3, preferences, safety labels, and the helpful and the safe reward model."""
    part = recipe.preferences
    params = GenerateParams(
        split="train",
        kinds=("general", "safety"),
        problems=10**9,
        template=recipe.chat_template,
        sampling=part.sampling,
        seed=recipe.seed,
    )
    responses = {"candidates": "preferences/candidates", "problems": "problems"}
    return [
        Node("preferences/candidates", "rewards", GENERATE, params, {"problems": "problems", "model": "dev3"}),
        Node("preferences", "rewards", PREFER, part, responses),
        Node("safety_labels", "rewards", SAFETY, NoParams(), responses),
        Node("rm_helpful", "rewards", REWARD_MODEL, recipe.rm_helpful, {"init": "dev3", "data": "preferences"}),
        Node("rm_safe", "rewards", REWARD_MODEL, recipe.rm_safe, {"init": "dev3", "data": "safety_labels"}),
    ]
