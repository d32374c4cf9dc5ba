"""The training nodes: each a process of its own (`python -m training.*`) that commits a checkpoint."""

from r1data.errors import RecipeError
from r1data.judge.reading import judge_name
from r1data.params import Params
from r1data.recipe import ModelSource, Recipe
from r1data.step import Node, Step
from r1data.steps.reviewed import REVIEW_DROPS, REVIEWED, ReviewedParams
from r1data.steps.rl_prompts import RL_PROMPT_DROPS, RL_PROMPTS, RlPromptsParams
from r1data.training_params import GrpoParams

PRETRAIN = Step("pretrain", "2", "train", None, module="training.pretrain")
SFT = Step("sft", "2", "train", None, module="training.sft")
GRPO = Step("grpo", "5", "train", None, module="training.grpo")
REWARD_MODEL = Step("reward_model", "2", "train", None, module="training.reward_model")


class ImportParams(Params):
    """A base model's folder, by path, and what it was when the run began."""

    path: str
    pin: str


IMPORT = Step("import_model", "1", "train", None, module="training.import_model")


def base(recipe: Recipe, name: str, source: ModelSource) -> Node:
    """A base model: pre-trained here (the demo) or taken from a folder."""
    if source.pretrain is not None:
        return Node(name, "foundations", PRETRAIN, source.pretrain, {"corpus": "corpus"})
    if source.path is None:
        raise RecipeError(f"recipe {recipe.name}, [{name}]: neither path nor pretrain", "give one of the two")
    return Node(name, "foundations", IMPORT, ImportParams(path=source.path, pin=source.pin))


def zero(recipe: Recipe) -> list[Node]:
    """R1-Zero: GRPO from the base, accuracy and format, no SFT before."""
    return _grpo("zero", recipe.zero, {"init": "base", "problems": "problems"})


def dev1(recipe: Recipe) -> list[Node]:
    """SFT of the base on the cold-start set, as its review left it."""
    undecided, examples = ReviewedParams(), {"examples": "cold_start"}
    return [
        Node("cold_start/reviewed", "dev1", REVIEWED, undecided, examples),
        Node("cold_start/reviewed/drops", "dev1", REVIEW_DROPS, undecided, examples),
        Node("dev1", "dev1", SFT, recipe.dev1, {"init": "base", "examples": "cold_start/reviewed"}),
    ]


def dev2(recipe: Recipe) -> list[Node]:
    """Reasoning RL with language consistency."""
    return _grpo("dev2", recipe.dev2, {"init": "dev1", "problems": "problems"}, "cold_start/difficulty")


def dev3(recipe: Recipe) -> Node:
    """SFT of the base again (not of dev2) on the mixture."""
    return Node("dev3", "dev3", SFT, recipe.dev3, {"init": "base", "examples": "sft_mix"})


def r1(recipe: Recipe) -> list[Node]:
    """All-scenario RL: rules and reward models."""
    inputs = {"init": "dev3", "problems": "problems", "helpful": "rm_helpful", "safe": "rm_safe"}
    return _grpo("r1", _watched(recipe), inputs, "sft_mix/difficulty")


def _watched(recipe: Recipe) -> GrpoParams:
    """The section, with the name of the judge that decides when it ends, if one does."""
    params, judge = recipe.r1, recipe.judge
    if not params.drift.every:
        return params
    if judge is None:
        raise RecipeError(f"recipe {recipe.name}, [r1.drift]: no [judge] to ask", "give one or set every = 0")
    drift = params.drift.model_copy(update={"judge": judge_name(judge.model, judge.pair_template)})
    return params.model_copy(update={"drift": drift})


def distill(recipe: Recipe) -> Node:
    """SFT of the student on the mixture, no RL."""
    return Node("distill", "distill", SFT, recipe.distill, {"init": "student_base", "examples": "sft_mix"})


def student_rl(recipe: Recipe) -> list[Node]:
    """GRPO on the student: the paper's comparison with distillation."""
    return _grpo("student_rl", recipe.student_rl, {"init": "student_base", "problems": "problems"})


def _grpo(name: str, params: GrpoParams, inputs: dict[str, str], difficulty: str | None = None) -> list[Node]:
    """A stage of GRPO; where difficulty decides about its prompts, they and those left out come before it."""
    if params.drift.every and not params.general_share:
        raise RecipeError(f"[{name}.drift]: no general prompts, so that nothing can be compared", "set every = 0")
    if not params.by_difficulty:
        return [Node(name, name, GRPO, params, inputs)]
    if difficulty is None:
        asked = f"[{name}]: prompts = {params.prompts!r}, curriculum = {params.curriculum!r}"
        raise RecipeError(
            f"{asked}, but nothing before it says how difficult problems are",
            'leave prompts = "all" and curriculum = "shuffled" here; dev2 and r1 can have others',
        )
    told = RlPromptsParams(prompts=params.prompts)
    known = {"problems": "problems", "difficulty": difficulty}
    return [
        Node(f"{name}/prompts", name, RL_PROMPTS, told, known),
        Node(f"{name}/prompt_drops", name, RL_PROMPT_DROPS, told, known),
        Node(name, name, GRPO, params, {**inputs, "prompts": f"{name}/prompts"}),
    ]
