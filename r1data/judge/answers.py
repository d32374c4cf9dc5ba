"""Answers that no rule can verify, judged against a reference by a language model (paper B.3.3, listing 4).

The votes are a `call` step like any sampling: recorded once, never paid for twice. The verdict is read from them.
"""

from collections.abc import Mapping, Sequence

import polars as pl

from r1data.judge.reading import judge_name, majority, verdict_in
from r1data.params import Params
from r1data.rewards.format import summary
from r1data.rewards.score import RuleVerdict
from r1data.step import Step
from schemas import TABLES

LABELS = ("correct", "incorrect")
KIND = "judged"


class AnswerJudgeParams(Params):
    """Which model judges, how it is asked, how often; where it is served changes no answer."""

    model: str
    template: str
    temperature: float
    max_tokens: int
    votes: int
    budget: int | None


def question(template: str, asked: str, reference: str, completion: str) -> str:
    """The judge's prompt for one completion: what stands outside the thought is judged."""
    parts = {"{question}": asked, "{reference}": reference, "{answer}": summary(completion)}
    return filled(template, parts)


def filled(template: str, parts: Mapping[str, str]) -> str:
    """The template with every place filled; what is put in is not looked through for places again."""
    out, rest = "", template
    while rest:
        at, place = min(((rest.find(p), p) for p in parts if p in rest), default=(-1, ""))
        if at < 0:
            return out + rest
        out, rest = out + rest[:at] + parts[place], rest[at + len(place) :]
    return out


def answer_questions(
    *, params: AnswerJudgeParams, candidates: pl.DataFrame, problems: pl.DataFrame
) -> list[tuple[str, str]]:
    """(problem_id, judge's prompt), each distinct one once, by candidate_id, at most `budget` of them."""
    asked = [(r["problem_id"], text) for r, text in _asked(params.template, candidates, problems)]
    return list(dict.fromkeys(asked))[: params.budget]


def judged_answers(
    params: AnswerJudgeParams, candidates: pl.DataFrame, problems: pl.DataFrame, judgements: pl.DataFrame
) -> dict[str, RuleVerdict]:
    """The verdict by candidate_id of every candidate whose problem is of kind `judged`."""
    votes, judge = votes_by_prompt(judgements, LABELS), judge_name(params.model, params.template)
    asked = _asked(params.template, candidates, problems)
    return {r["candidate_id"]: _verdict(r, votes.get(text, []), judge) for r, text in asked}


def votes_by_prompt(judgements: pl.DataFrame, allowed: Sequence[str]) -> dict[str, list[str | None]]:
    """Every vote on a prompt, in the order of their sample index."""
    found: dict[str, list[str | None]] = {}
    columns = ("prompt", "completion", "finish_reason")
    for prompt, text, finish in judgements.sort("prompt", "sample_index").select(columns).iter_rows():
        found.setdefault(prompt, []).append(verdict_in(text, finish, allowed))
    return found


def _asked(template: str, candidates: pl.DataFrame, problems: pl.DataFrame) -> list[tuple[dict[str, str], str]]:
    about = problems.filter((pl.col("kind") == KIND) & pl.col("answer").is_not_null())
    rows = candidates.join(about.select("problem_id", "question", "answer"), on="problem_id", how="inner")
    finished = rows.filter(pl.col("finish_reason") == "stop").sort("candidate_id")
    return [(r, question(template, r["question"], r["answer"], r["completion"])) for r in finished.to_dicts()]


def _verdict(row: dict[str, str], votes: Sequence[str | None], judge: str) -> RuleVerdict:
    label, reason = majority(votes)
    if label is None:
        return RuleVerdict("undecided", reason, None, judge)
    return RuleVerdict("correct" if label == "correct" else "wrong", "", summary(row["completion"]), judge)


JUDGE_ANSWERS = Step("judge_answers", "1", "call", TABLES["candidates"])
