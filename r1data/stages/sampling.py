"""The call step that asks a checkpoint for candidates, and the maps over what it answers."""

from r1data.gate_params import GateParams
from r1data.judge.answers import JUDGE_ANSWERS, KIND, AnswerJudgeParams
from r1data.params import Params
from r1data.recipe import Recipe
from r1data.rewards.kinds import VERIFIED
from r1data.sampling_params import SamplingParams
from r1data.step import Node, Step
from r1data.steps.measures import MEASURE
from r1data.verify.audit import AUDIT, AuditParams
from r1data.verify.verdicts import VERIFY, VerifyParams
from schemas import TABLES


class GenerateParams(Params):
    """Which problems are asked (split, kinds, how many), with which template, and how candidates are drawn.

    `gate` says what counts for `stop_at`; where prompts do not stop early it is null, so that its thresholds can change
    without asking again.
    """

    split: str
    kinds: tuple[str, ...]
    problems: int
    template: str
    sampling: SamplingParams
    seed: int = 0
    gate: GateParams | None = None


GENERATE = Step("generate", "1", "call", TABLES["candidates"])


class NoParams(Params):
    """Nothing to tell."""


def kinds_of(recipe: Recipe) -> tuple[str, ...]:
    """The kinds that are verified by rule, and those that the recipe's judge verifies."""
    return (*VERIFIED, KIND) if recipe.judge else VERIFIED


def sampled(recipe: Recipe, prefix: str, stage: str, checkpoint: str, params: GenerateParams) -> list[Node]:
    """candidates, verdicts and measures below a prefix."""
    inputs = {"problems": "problems", "model": checkpoint}
    return [Node(f"{prefix}/candidates", stage, GENERATE, params, inputs), *examined(recipe, prefix, stage)]


def examined(recipe: Recipe, prefix: str, stage: str) -> list[Node]:
    """verdicts and measures of the candidates below a prefix; the judge's votes where it has problems to judge."""
    about = {"candidates": f"{prefix}/candidates", "problems": "problems"}
    judge = _judge(recipe)
    votes = {"judgements": f"{prefix}/judgements"} if judge else {}
    whole = frozenset({"problems", *votes})
    found = [
        Node(f"{prefix}/verdicts", stage, VERIFY, VerifyParams(judge=judge), {**about, **votes}, whole),
        Node(f"{prefix}/measures", stage, MEASURE, NoParams(), about, frozenset({"problems"})),
    ]
    return [Node(votes["judgements"], stage, JUDGE_ANSWERS, judge, about), *found] if judge else found


def _judge(recipe: Recipe) -> AnswerJudgeParams | None:
    """How answers are judged, if any source needs it."""
    part = recipe.judge
    if part is None or all(source.kind != KIND for source in recipe.sources):
        return None
    return AnswerJudgeParams(
        model=part.model,
        template=part.answer_template,
        temperature=part.temperature,
        max_tokens=part.max_tokens,
        votes=part.answer_votes,
        budget=part.budget,
    )


def audited(recipe: Recipe, prefix: str, stage: str) -> Node:
    """A second method on a sample of the verdicts below a prefix."""
    tables = {"candidates": f"{prefix}/candidates", "verdicts": f"{prefix}/verdicts", "problems": "problems"}
    return Node(f"{prefix}/audit", stage, AUDIT, AuditParams(seed=recipe.seed), tables)


def judged(prefix: str) -> dict[str, str]:
    """The three aligned tables of a sampling, by argument name."""
    return {table: f"{prefix}/{table}" for table in ("candidates", "verdicts", "measures")}
