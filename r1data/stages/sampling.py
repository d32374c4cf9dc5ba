"""The call step that asks a checkpoint for candidates, and the maps over what it answers."""

from collections.abc import Mapping

from r1data.params import Params
from r1data.recipe import SamplingParams
from r1data.step import Node, Step
from r1data.steps.measures import MEASURE
from r1data.verify.verdicts import VERIFY, VerifyParams
from schemas import TABLES


class GenerateParams(Params):
    """Which problems are asked (split, kinds, how many), with which template, and how candidates are drawn."""

    split: str
    kinds: tuple[str, ...]
    problems: int
    template: str
    sampling: SamplingParams
    seed: int = 0


GENERATE = Step("generate", "1", "call", TABLES["candidates"])


class NoParams(Params):
    """Nothing to tell."""


def sampled(prefix: str, stage: str, checkpoint: str, params: GenerateParams) -> list[Node]:
    """candidates, verdicts and measures below a prefix."""
    inputs = {"problems": "problems", "model": checkpoint}
    return [Node(f"{prefix}/candidates", stage, GENERATE, params, inputs), *examined(prefix, stage)]


def examined(prefix: str, stage: str) -> list[Node]:
    """verdicts and measures of the candidates below a prefix."""
    problems: Mapping[str, str] = {"candidates": f"{prefix}/candidates", "problems": "problems"}
    whole = frozenset({"problems"})
    return [
        Node(f"{prefix}/verdicts", stage, VERIFY, VerifyParams(), problems, whole),
        Node(f"{prefix}/measures", stage, MEASURE, NoParams(), problems, whole),
    ]


def judged(prefix: str) -> dict[str, str]:
    """The three aligned tables of a sampling, by argument name."""
    return {table: f"{prefix}/{table}" for table in ("candidates", "verdicts", "measures")}
