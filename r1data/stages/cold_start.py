"""Cold start: sample zero, keep what is correct, readable, in one language; refine it, add a summary (B.3.2).

Other sources, where the recipe has their sections, stand beside it: each with verdicts, gates and a quota of its own.
"""

from r1data.data_params import WHERE_SERVED
from r1data.errors import RecipeError
from r1data.gate_params import GateParams
from r1data.recipe import Recipe
from r1data.rewards.kinds import VERIFIED
from r1data.stages.cleaning import cleaned, uncontaminated
from r1data.stages.gates import difficulty, gated
from r1data.stages.sampling import GenerateParams, NoParams, audited, examined, kinds_of, sampled
from r1data.step import ELSEWHERE, Node
from r1data.steps.examples import COLD_START
from r1data.steps.refine import REFINE, REFINED, REPEATED, RefineParams
from r1data.steps.sources import (
    ASK,
    EARLIER,
    EARLIER_DROPS,
    QUOTA_DROPS,
    SOURCED,
    UNITED,
    AskParams,
    EarlierParams,
    SourceParams,
    UnitedParams,
)
from r1data.steps.thresholds import refined_gate
from r1data.verify.human import HUMAN, HUMAN_DROPS, HumanExamplesParams

STAGE = "cold_start"
KEPT = {"candidates": "cold_start/candidates", "drops": "cold_start/drops", "problems": "problems"}
PROBLEMS = {"problems": "problems"}


def nodes(recipe: Recipe) -> list[Node]:
    """candidates, verdicts, measures, drops, difficulty, cleaning, refinement, other sources, and the examples."""
    part, gate = recipe.cold_start, _zero_gate(recipe)
    params = GenerateParams(
        split="train",
        kinds=kinds_of(recipe),
        problems=part.problems,
        template=recipe.zero_template,
        sampling=part.sampling,
        gate=gate if part.sampling.stop_at else None,
        seed=recipe.seed,
    )
    others = {
        **{source: _asked(recipe, source) for source in ("few_shot", "reflective") if getattr(part, source)},
        **({"feedback": _feedback(recipe)} if part.feedback else {}),
        **({"human": _human(recipe)} if part.human else {}),
    }
    alone = not others and part.zero.quota is None
    name = "cold_start" if alone else "cold_start/zero"
    cleaning, gone = cleaned(recipe, "cold_start", STAGE, part.dedup)
    kept = {**KEPT, **gone}
    return [
        *sampled(recipe, "cold_start", STAGE, "zero", params),
        audited(recipe, "cold_start", STAGE),
        gated("cold_start", STAGE, gate, part.sampling),
        difficulty("cold_start", STAGE, gate, part.sampling),
        *cleaning,
        *(_by_teacher(recipe, name, kept) if part.teacher else [_by_rule(name, kept)]),
        *(node for found in others.values() for node in found),
        *([] if alone else _united(recipe, ("zero", *others))),
    ]


def check_refinement(recipe: Recipe) -> None:
    """`RecipeError` where nobody can refine: without a teacher there is a stated rule, for the demo's sums alone."""
    strange = [s.name for s in recipe.sources if s.split == "train" and s.kind in VERIFIED and not s.wording]
    if recipe.cold_start.teacher is None and strange:
        told = f"recipe {recipe.name}: without a teacher only the demo's sums are refined, not source {strange[0]!r}"
        raise RecipeError(told, "give the recipe a [cold_start.teacher]")


def _zero_gate(recipe: Recipe) -> GateParams:
    """The recipe's gate; where a teacher translates, without its tests of language: those are the second gate's."""
    part = recipe.cold_start
    if part.teacher is None or part.teacher.mixed == "drop":
        return part.gate.thresholds
    return part.gate.thresholds.model_copy(update={"language_consistency": None, "single_language": False})


def _by_rule(name: str, kept: dict[str, str]) -> Node:
    return Node(name, STAGE, COLD_START, NoParams(), kept, frozenset({"problems", "duplicates"} & set(kept)))


def _by_teacher(recipe: Recipe, name: str, kept: dict[str, str]) -> list[Node]:
    """The teacher's answers, which pass the same verifier and gates, and the examples made of them."""
    part = recipe.cold_start
    assert part.teacher is not None, "asked for only with a teacher"
    params = RefineParams(**part.teacher.model_dump(exclude={*WHERE_SERVED, "mixed"}))
    kept = {**kept, "measures": "cold_start/measures"}
    refined = {"refined": "cold_start/refined/candidates", "refined_drops": "cold_start/refined/drops"}
    cleaning, gone = cleaned(recipe, "cold_start/refined", STAGE, None)
    refined |= {f"refined_{role}": table for role, table in gone.items()}
    return [
        Node("cold_start/refined/candidates", STAGE, REFINE, params, kept),
        *examined(recipe, "cold_start/refined", STAGE),
        gated("cold_start/refined", STAGE, refined_gate(part.gate.thresholds)),
        *cleaning,
        Node("cold_start/refined/repeated", STAGE, REPEATED, params, kept),
        Node(name, STAGE, REFINED, params, {**kept, **refined}),
    ]


def _asked(recipe: Recipe, source: str) -> list[Node]:
    """A teacher's answers to the training problems, examined like R1-Zero's."""
    part = getattr(recipe.cold_start, source)
    told = part.model_dump(exclude={*WHERE_SERVED, "quota"})
    params = AskParams(source=source, kinds=kinds_of(recipe), seed=recipe.seed, **told)
    prefix = f"cold_start/{source}"
    asked = Node(f"{prefix}/candidates", STAGE, ASK, params, PROBLEMS)
    return [asked, *_through_gates(recipe, prefix, f"{source} by {part.model}")]


def _feedback(recipe: Recipe) -> list[Node]:
    """The answers of an earlier run, examined again."""
    part = recipe.cold_start.feedback
    assert part is not None, "asked for only with the section"
    ref = part.ref.removesuffix("/candidates")
    if ref.split("/")[0] == recipe.name:
        told = f"[cold_start.feedback] ref {part.ref!r} is made by this recipe: it would never be done"
        raise RecipeError(told, "give one of the two runs another recipe name")
    params, prefix = EarlierParams(kinds=kinds_of(recipe)), "cold_start/feedback"
    inputs = {"earlier": f"{ELSEWHERE}{ref}/candidates", **PROBLEMS}
    return [
        Node(f"{prefix}/candidates", STAGE, EARLIER, params, inputs),
        Node(f"{prefix}/unused", STAGE, EARLIER_DROPS, params, inputs),
        *_through_gates(recipe, prefix, f"feedback from {ref}"),
    ]


def _through_gates(recipe: Recipe, prefix: str, source: str) -> list[Node]:
    """verdicts, measures and drops of the candidates below a prefix, and the examples made of what is left."""
    told = SourceParams(source=source, template=recipe.zero_template)
    cleaning, gone = cleaned(recipe, prefix, STAGE, recipe.cold_start.dedup)
    tables = {**{t: f"{prefix}/{t}" for t in ("candidates", "drops")}, **PROBLEMS, **gone}
    return [
        *examined(recipe, prefix, STAGE),
        gated(prefix, STAGE, recipe.cold_start.gate.thresholds),
        *cleaning,
        Node(prefix, STAGE, SOURCED, told, tables),
    ]


def _human(recipe: Recipe) -> list[Node]:
    """The rows of a reviewed file, and those that cannot be used."""
    part = recipe.cold_start.human
    assert part is not None, "asked for only with the section"
    file = part.model_copy(update={"quota": None})  # the quota is the union's to know
    params = HumanExamplesParams(file=file, template=recipe.zero_template)
    made = uncontaminated(recipe, Node("cold_start/human", STAGE, HUMAN, params, PROBLEMS), recipe.zero_template)
    return [
        *made,
        Node("cold_start/human/drops", STAGE, HUMAN_DROPS, params, {**PROBLEMS, "examples": made[0].name}),
    ]


def _united(recipe: Recipe, sources: tuple[str, ...]) -> list[Node]:
    """All sources as one set, each up to its quota."""
    params = UnitedParams(quotas={s: getattr(recipe.cold_start, s).quota for s in sources}, seed=recipe.seed)
    inputs = {source: f"cold_start/{source}" for source in sources}
    return [
        Node("cold_start", STAGE, UNITED, params, inputs),
        Node("cold_start/over_quota", STAGE, QUOTA_DROPS, params, inputs),
    ]
