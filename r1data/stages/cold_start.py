"""Cold start: sample zero, keep what is correct, readable, in one language; refine it, add a summary (B.3.2)."""

from r1data.recipe import WHERE_SERVED, Recipe
from r1data.stages.gates import difficulty, gated
from r1data.stages.sampling import GenerateParams, NoParams, audited, examined, kinds_of, sampled
from r1data.step import Node
from r1data.steps.examples import COLD_START
from r1data.steps.refine import REFINE, REFINED, RefineParams

STAGE = "cold_start"
KEPT = {"candidates": "cold_start/candidates", "drops": "cold_start/drops", "problems": "problems"}


def nodes(recipe: Recipe) -> list[Node]:
    """candidates, verdicts, measures, drops, difficulty, the refinement, and the examples themselves."""
    part = recipe.cold_start
    params = GenerateParams(
        split="train",
        kinds=kinds_of(recipe),
        problems=part.problems,
        template=recipe.zero_template,
        sampling=part.sampling,
        gate=part.gate.thresholds if part.sampling.stop_at else None,
        seed=recipe.seed,
    )
    return [
        *sampled(recipe, "cold_start", STAGE, "zero", params),
        audited(recipe, "cold_start", STAGE),
        gated("cold_start", STAGE, part.gate.thresholds, part.sampling),
        difficulty("cold_start", STAGE, part.gate.thresholds, part.sampling),
        *(_by_teacher(recipe) if part.teacher else [_by_rule()]),
    ]


def _by_rule() -> Node:
    return Node("cold_start", STAGE, COLD_START, NoParams(), KEPT, frozenset({"problems"}))


def _by_teacher(recipe: Recipe) -> list[Node]:
    """The teacher's answers, which pass the same verifier and gates, and the examples made of them."""
    part = recipe.cold_start
    assert part.teacher is not None, "asked for only with a teacher"
    params = RefineParams(**part.teacher.model_dump(exclude=WHERE_SERVED))
    refined = {"refined": "cold_start/refined/candidates", "refined_drops": "cold_start/refined/drops"}
    return [
        Node("cold_start/refined/candidates", STAGE, REFINE, params, KEPT),
        *examined(recipe, "cold_start/refined", STAGE),
        gated("cold_start/refined", STAGE, part.gate.thresholds),
        Node("cold_start", STAGE, REFINED, params, {**KEPT, **refined}),
    ]
