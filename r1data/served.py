"""Call steps that ask a model served elsewhere: the teachers, the judge, the writer of tests.

Recorded answers first, as with every call. A judge is asked questions of known outcome before anything else.
"""

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace

import polars as pl

from r1data.data_params import ServedParams
from r1data.digest import digest_json
from r1data.endpoint import Endpoint
from r1data.generate.candidates import Desk, candidates
from r1data.generate.router import Backend
from r1data.generate.sampling import Prompt
from r1data.judge.answers import AnswerJudgeParams, answer_questions, votes_by_prompt
from r1data.judge.canaries import allowed, canary_questions, check_judge
from r1data.judge.pairs import PairJudgeParams, pair_questions
from r1data.recipe import Recipe
from r1data.sampling_params import SamplingParams
from r1data.step import Node
from r1data.steps.imported import ThinkParams, thought_questions
from r1data.steps.refine import RefineParams, refinements
from r1data.steps.sources import AskParams, source_questions
from r1data.verify.written_tests import WrittenTestsParams, generator_questions

Asking = RefineParams | ThinkParams | AskParams | AnswerJudgeParams | PairJudgeParams | WrittenTestsParams


@dataclass(frozen=True)
class Served:
    """A model served elsewhere: its name, and whether it is asked as a chat, is all that is known of it."""

    name: str
    chat: bool = True

    @property
    def digest(self) -> str:
        """Tells its answers from those of other models."""
        return digest_json(["served model", self.name] if self.chat else ["served model", self.name, "raw prompts"])


def served_answers(
    desk: Desk, recipe: Recipe, key: str | None, node: Node, frames: Mapping[str, pl.DataFrame]
) -> Iterator[pl.DataFrame]:
    """CANDIDATES of a teacher or judge node; `key` is for the server. Raises `CheckFailed` for a judge not to trust."""
    params = node.params
    assert isinstance(params, Asking), f"{node.name}: no such call step"
    server = _server(recipe, params)
    assert server is not None, "the node is there only with a server"
    backends = [Backend(Endpoint(url.rstrip("/"), server.model, key, server.chat)) for url in server.urls]
    asked, samples = _asked(params, frames)
    sampling = SamplingParams(samples=samples, temperature=params.temperature, max_tokens=params.max_tokens)
    template = digest_json(params.template)[:16]
    sized = replace(desk, in_flight=server.in_flight, own_devices=False, stalled_s=server.timeout_s)

    def answers(prompts: list[Prompt], name: str) -> Iterator[pl.DataFrame]:
        return candidates(
            sized,
            lambda: nullcontext(backends),
            Served(server.model, server.chat),
            prompts,
            sampling,
            template,
            node=name,
        )

    if asked and isinstance(params, AnswerJudgeParams | PairJudgeParams):
        known = canary_questions(params)
        told = pl.concat(answers([Prompt("canary", prompt) for prompt in known], f"{node.name} canaries"))
        check_judge(server.model, known, votes_by_prompt(told, allowed(params)))
    return answers([Prompt(problem, prompt) for problem, prompt in asked], node.name)


def _server(recipe: Recipe, params: Asking) -> ServedParams | None:
    if isinstance(params, RefineParams):
        return recipe.cold_start.teacher
    if isinstance(params, AskParams):
        return recipe.cold_start.few_shot if params.source == "few_shot" else recipe.cold_start.reflective
    if isinstance(params, ThinkParams):
        return recipe.sft_mix.thoughts
    return recipe.test_writer if isinstance(params, WrittenTestsParams) else recipe.judge


def _asked(params: Asking, frames: Mapping[str, pl.DataFrame]) -> tuple[list[tuple[str, str]], int]:
    """(problem_id, prompt) of all that is asked, and how often."""
    if isinstance(params, RefineParams):
        return [(problem, prompt) for problem, prompt, _ in refinements(params=params, **frames)], 1
    if isinstance(params, AskParams):
        return source_questions(params=params, **frames), params.samples
    if isinstance(params, ThinkParams):
        return [(problem, prompt) for problem, prompt, _ in thought_questions(params=params, **frames)], 1
    if isinstance(params, WrittenTestsParams):
        return generator_questions(params=params, **frames), params.generators
    if isinstance(params, AnswerJudgeParams):
        return answer_questions(params=params, **frames), params.votes
    return pair_questions(params=params, **frames), params.votes // 2
