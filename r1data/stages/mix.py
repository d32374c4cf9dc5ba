"""The second SFT set: rejection sampling from dev2, non-reasoning data, their mixture (paper B.3.3)."""

from r1data.data_params import WHERE_SERVED
from r1data.recipe import Recipe
from r1data.stages.cleaning import cleaned, uncontaminated
from r1data.stages.gates import difficulty, gated
from r1data.stages.sampling import GenerateParams, NoParams, audited, kinds_of, sampled
from r1data.step import Node
from r1data.steps.examples import GENERAL, MIX, REASONING, GeneralParams
from r1data.steps.imported import (
    FINISH,
    IMPORT_DROPS,
    IMPORT_EXAMPLES,
    THINK,
    THOUGHT_DROPS,
    FinishParams,
    ImportedParams,
    ThinkParams,
)
from r1data.steps.mixture import COMPOSITION, LEFT_OUT, MIXTURE


def nodes(recipe: Recipe) -> list[Node]:
    """candidates, verdicts, measures, drops, difficulty, cleaning, reasoning and general examples, and the mixture."""
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
    kept = {"candidates": "sft_mix/candidates", "drops": "sft_mix/drops", "problems": "problems"}
    cleaning, gone = cleaned(recipe, "sft_mix", "sft_mix", part.dedup)
    whole = frozenset({"problems", "duplicates"} & {*kept, *gone})
    return [
        *sampled(recipe, "sft_mix", "sft_mix", "dev2", params),
        audited(recipe, "sft_mix", "sft_mix"),
        gated("sft_mix", "sft_mix", part.gate.thresholds, part.sampling),
        difficulty("sft_mix", "sft_mix", part.gate.thresholds, part.sampling),
        *cleaning,
        Node("sft_mix/reasoning", "sft_mix", REASONING, NoParams(), {**kept, **gone}, whole),
        *_general(recipe),
        *_mixture(recipe),
    ]


def _general(recipe: Recipe) -> list[Node]:
    """The general part: imported where the recipe says from where, else the demo's small talk."""
    part = recipe.sft_mix
    if not recipe.non_reasoning:
        params = GeneralParams(
            examples=part.general_examples,
            with_thought=part.general_with_thought,
            template=recipe.chat_template,
            seed=part.seed,
        )
        made = Node("sft_mix/general", "sft_mix", GENERAL, params, {"problems": "problems"})
        return uncontaminated(recipe, made, recipe.chat_template)
    told, about = ImportedParams(sources=recipe.non_reasoning), {"problems": "problems"}
    thoughts, finish = _thoughts(recipe)
    return [
        *uncontaminated(recipe, Node("sft_mix/imported", "sft_mix", IMPORT_EXAMPLES, told, about), "{question}"),
        Node("sft_mix/imported/drops", "sft_mix", IMPORT_DROPS, told, about),
        *thoughts,
        *finish,
    ]


def _thoughts(recipe: Recipe) -> tuple[list[Node], list[Node]]:
    """The teacher's answers where it is to add thoughts, and the examples that come of them.

    Rows are looked at before a teacher is paid for them, and again where it wrote something.
    """
    part, examples = recipe.sft_mix.thoughts, {"examples": "sft_mix/imported"}
    if part is None:
        params = FinishParams(template=recipe.chat_template)
        return [], [Node("sft_mix/general", "sft_mix", FINISH, params, examples)]
    think = ThinkParams(**part.model_dump(exclude=WHERE_SERVED))
    params, both = (
        FinishParams(template=recipe.chat_template, think=think),
        {**examples, "thoughts": "sft_mix/thoughts"},
    )
    return [Node("sft_mix/thoughts", "sft_mix", THINK, think, examples)], [
        *uncontaminated(recipe, Node("sft_mix/general", "sft_mix", FINISH, params, both), recipe.chat_template),
        Node("sft_mix/general/drops", "sft_mix", THOUGHT_DROPS, params, both),
    ]


def _mixture(recipe: Recipe) -> list[Node]:
    """Both parts as one; by numbers and shares where they are stated."""
    parts, params = {"reasoning": "sft_mix/reasoning", "general": "sft_mix/general"}, recipe.sft_mix.mixture
    if params is None:
        return [Node("sft_mix", "sft_mix", MIX, NoParams(), parts)]
    if params.seed is None:
        params = params.model_copy(update={"seed": recipe.sft_mix.seed})
    return [
        Node("sft_mix", "sft_mix", MIXTURE, params, parts),
        Node("sft_mix/left_out", "sft_mix", LEFT_OUT, params, parts),
        Node("sft_mix/composition", "sft_mix", COMPOSITION, params, parts),
    ]
