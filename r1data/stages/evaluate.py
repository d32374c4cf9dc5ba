"""Evaluation of every checkpoint on the same held-out problems: pass@k, cons@k, format, language, length."""

from r1data.outcomes.evaluation import EVALUATE, EvaluateParams
from r1data.recipe import Recipe
from r1data.stages.sampling import GenerateParams, judged, kinds_of, sampled
from r1data.step import Node

RAW = ("base", "student_base", "zero", "student_rl")


def nodes(recipe: Recipe) -> list[Node]:
    """For each checkpoint: candidates, verdicts, measures and the table of estimates."""
    return [node for checkpoint in recipe.evaluation.checkpoints for node in _of(recipe, checkpoint)]


def _of(recipe: Recipe, checkpoint: str) -> list[Node]:
    part, prefix = recipe.evaluation, f"eval/{checkpoint}"
    params = GenerateParams(
        split="eval",
        kinds=kinds_of(recipe),
        problems=10**9,
        template=recipe.zero_template if checkpoint in RAW else recipe.chat_template,
        sampling=part.sampling,
        seed=recipe.seed,
    )
    estimate = EvaluateParams(checkpoint=checkpoint, sampling=part.sampling, bootstrap=part.bootstrap, seed=recipe.seed)
    return [
        *sampled(recipe, prefix, "evaluate", checkpoint, params),
        Node(prefix, "evaluate", EVALUATE, estimate, {**judged(prefix), "problems": "problems"}),
    ]
