"""The training nodes: each a process of its own (`python -m training.*`) that commits a checkpoint."""

from r1data.errors import RecipeError
from r1data.params import Params
from r1data.recipe import ModelSource, Recipe
from r1data.step import Node, Step

PRETRAIN = Step("pretrain", "1", "train", None, module="training.pretrain")
SFT = Step("sft", "1", "train", None, module="training.sft")
GRPO = Step("grpo", "4", "train", None, module="training.grpo")
REWARD_MODEL = Step("reward_model", "1", "train", None, module="training.reward_model")


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


def zero(recipe: Recipe) -> Node:
    """R1-Zero: GRPO from the base, accuracy and format, no SFT before."""
    return Node("zero", "zero", GRPO, recipe.zero, {"init": "base", "problems": "problems"})


def dev1(recipe: Recipe) -> Node:
    """SFT of the base on the cold-start set."""
    return Node("dev1", "dev1", SFT, recipe.dev1, {"init": "base", "examples": "cold_start"})


def dev2(recipe: Recipe) -> Node:
    """Reasoning RL with language consistency."""
    return Node("dev2", "dev2", GRPO, recipe.dev2, {"init": "dev1", "problems": "problems"})


def dev3(recipe: Recipe) -> Node:
    """SFT of the base again (not of dev2) on the mixture."""
    return Node("dev3", "dev3", SFT, recipe.dev3, {"init": "base", "examples": "sft_mix"})


def r1(recipe: Recipe) -> Node:
    """All-scenario RL: rules and reward models."""
    inputs = {"init": "dev3", "problems": "problems", "helpful": "rm_helpful", "safe": "rm_safe"}
    return Node("r1", "r1", GRPO, recipe.r1, inputs)


def distill(recipe: Recipe) -> Node:
    """SFT of the student on the mixture, no RL."""
    return Node("distill", "distill", SFT, recipe.distill, {"init": "student_base", "examples": "sft_mix"})


def student_rl(recipe: Recipe) -> Node:
    """GRPO on the student: the paper's comparison with distillation."""
    return Node("student_rl", "student_rl", GRPO, recipe.student_rl, {"init": "student_base", "problems": "problems"})
