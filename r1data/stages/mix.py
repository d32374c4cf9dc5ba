"""The second SFT set: rejection sampling from dev2, non-reasoning data, and their mixture (paper B.3.3)."""

from r1data.recipe import Recipe
from r1data.stages.gates import difficulty, gated
from r1data.stages.sampling import GenerateParams, NoParams, audited, kinds_of, sampled
from r1data.step import Node
from r1data.steps.examples import GENERAL, MIX, REASONING, GeneralParams


def nodes(recipe: Recipe) -> list[Node]:
    """candidates, verdicts, measures, drops, difficulty, the reasoning and the general examples, and the mixture."""
    part = recipe.sft_mix
    params = GenerateParams(
        split="train",
        kinds=kinds_of(recipe),
        problems=part.problems,
        template=recipe.chat_template,
        sampling=part.sampling,
        gate=part.gate.thresholds if part.sampling.stop_at else None,
        seed=recipe.seed + 1,
    )
    general = GeneralParams(
        examples=part.general_examples,
        with_thought=part.general_with_thought,
        template=recipe.chat_template,
        seed=part.seed,
    )
    kept = {"candidates": "sft_mix/candidates", "drops": "sft_mix/drops", "problems": "problems"}
    return [
        *sampled(recipe, "sft_mix", "sft_mix", "dev2", params),
        audited(recipe, "sft_mix", "sft_mix"),
        gated("sft_mix", "sft_mix", part.gate.thresholds, part.sampling),
        difficulty("sft_mix", "sft_mix", part.gate.thresholds, part.sampling),
        Node("sft_mix/reasoning", "sft_mix", REASONING, NoParams(), kept, frozenset({"problems"})),
        Node("sft_mix/general", "sft_mix", GENERAL, general, {"problems": "problems"}),
        Node("sft_mix", "sft_mix", MIX, NoParams(), {"reasoning": "sft_mix/reasoning", "general": "sft_mix/general"}),
    ]
