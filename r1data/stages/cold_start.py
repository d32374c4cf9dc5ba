"""Cold start: sample zero, keep what is correct, readable, in one language; refine it, add a summary (B.3.2)."""

from r1data.recipe import Recipe
from r1data.stages.sampling import GenerateParams, NoParams, judged, sampled
from r1data.step import Node
from r1data.steps.examples import COLD_START
from r1data.steps.gates import GATE


def nodes(recipe: Recipe) -> list[Node]:
    """candidates, verdicts, measures, drops, and the examples themselves."""
    part = recipe.cold_start
    params = GenerateParams(
        split="train",
        kinds=("math",),
        problems=part.problems,
        template=recipe.zero_template,
        sampling=part.sampling,
        seed=recipe.seed,
    )
    whole = frozenset({"problems"})
    return [
        *sampled("cold_start", "cold_start", "zero", params),
        Node("cold_start/drops", "cold_start", GATE, part.gate, judged("cold_start")),
        Node(
            "cold_start",
            "cold_start",
            COLD_START,
            NoParams(),
            {"candidates": "cold_start/candidates", "drops": "cold_start/drops", "problems": "problems"},
            whole,
        ),
    ]
