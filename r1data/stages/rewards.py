"""Responses of dev3 judged in pairs and labelled, and the two reward models trained on them (paper 3.1)."""

from r1data.judge.pairs import JUDGE_PAIRS, JUDGED_PREFER, PAIR_DROPS, ChosenPairParams, PairJudgeParams
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
        *_preferences(recipe, responses),
        Node("safety_labels", "rewards", SAFETY, NoParams(), responses),
        Node("rm_helpful", "rewards", REWARD_MODEL, recipe.rm_helpful, {"init": "dev3", "data": "preferences"}),
        Node("rm_safe", "rewards", REWARD_MODEL, recipe.rm_safe, {"init": "dev3", "data": "safety_labels"}),
    ]


def _preferences(recipe: Recipe, responses: dict[str, str]) -> list[Node]:
    """By the judge's votes, with what was no preference; without a judge by rule."""
    part, judge = recipe.preferences, recipe.judge
    if judge is None:
        return [Node("preferences", "rewards", PREFER, part.by_rule, responses)]
    params = PairJudgeParams(
        model=judge.model,
        template=judge.pair_template,
        temperature=judge.temperature,
        max_tokens=judge.max_tokens,
        votes=judge.pair_votes,
        max_pairs=part.max_pairs,
        least_margin=part.least_margin,
    )
    choosing = ChosenPairParams(**params.model_dump(), lengths=part.lengths)
    judged = {**responses, "judgements": "preferences/judgements"}
    return [
        Node("preferences/judgements", "rewards", JUDGE_PAIRS, params, responses),
        Node("preferences", "rewards", JUDGED_PREFER, choosing, judged),
        Node("preferences/drops", "rewards", PAIR_DROPS, choosing, judged),
    ]
