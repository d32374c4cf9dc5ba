"""Prompts of a step, rewards and the record of rollouts."""

import re
from typing import Any

import polars as pl
import pytest

from r1data.errors import RecipeError
from r1data.runner import frame_of
from r1data.training_params import GrpoParams, OptimizerParams
from training.grading import Grader, advantages_of, measures_of
from training.prompts import Prompts
from training.rollout import Ask, Sample

OPTIMIZER = OptimizerParams(learning_rate=1e-3)
PARAMS = GrpoParams.model_validate(
    {"optimizer": OPTIMIZER, "template": "Q {question} {x}", "steps": 4, "prompts_per_step": 3, "group": 2}
)
GENERAL = PARAMS.model_copy(update={"general_share": 0.34, "general_from_step": 2})


def prompts(workshop: Any, params: GrpoParams) -> Prompts:
    return Prompts(frame_of(workshop.lake, workshop.problems(4)), params)


def sample(text: str, reward: float | None = None) -> Sample:
    return Sample(0, 0, 0, text, [5], [], "stop", reward)


def test_prompts_follow_from_the_step_alone(workshop: Any) -> None:
    asks = [prompts(workshop, GENERAL).of_step(s) for s in range(4)]
    again = prompts(workshop, GENERAL)
    assert [again.of_step(s) for s in (3, 2, 1, 0)] == asks[::-1]


def test_an_epoch_asks_every_training_problem_and_no_other(workshop: Any) -> None:
    asked = [a.problem_id for s in range(4) for a in prompts(workshop, PARAMS).of_step(s)]
    assert sorted(asked) == sorted(3 * ["p000", "p001", "p002", "p003"])


def chosen(counts: dict[str, tuple[int, int]]) -> pl.DataFrame:
    """Correct and decided samples by problem."""
    rows = [(problem, correct, decided) for problem, (correct, decided) in counts.items()]
    return pl.DataFrame(rows, schema=["problem_id", "correct", "decided"], orient="row")


def test_only_chosen_prompts_are_asked(workshop: Any) -> None:
    problems = frame_of(workshop.lake, workshop.problems(4))
    params = PARAMS.model_copy(update={"prompts": "mixed"})
    few = Prompts(problems, params, chosen({"p001": (1, 2), "p003": (0, 0)}))
    asked = [a.problem_id for s in range(2) for a in few.of_step(s)]
    assert sorted(asked) == sorted(3 * ["p001", "p003"])


def test_easy_prompts_come_first_and_unknown_ones_last(workshop: Any) -> None:
    problems = frame_of(workshop.lake, workshop.problems(4))
    params = PARAMS.model_copy(update={"curriculum": "easy_first", "prompts_per_step": 4})
    counts = {"p000": (0, 0), "p001": (1, 4), "p002": (3, 4), "p003": (1, 4)}
    found = Prompts(problems, params, chosen(counts))
    epochs = [[a.problem_id for a in found.of_step(s)] for s in range(20)]
    assert {(e[0], e[3]) for e in epochs} == {("p002", "p000")}
    assert {tuple(e[1:3]) for e in epochs} == {("p001", "p003"), ("p003", "p001")}


def test_general_prompts_come_from_their_first_step(workshop: Any) -> None:
    kinds = [[a.kind != "math" for a in prompts(workshop, GENERAL).of_step(s)].count(True) for s in range(4)]
    assert kinds == [0, 0, 1, 1]


def test_only_the_question_is_filled_in(workshop: Any) -> None:
    assert all(re.fullmatch(r"Q \d+\+\d=\? \{x\}", a.prompt) for a in prompts(workshop, PARAMS).of_step(0))


def test_general_prompts_need_their_reward_models(workshop: Any) -> None:
    job = workshop.job("r1", "grpo", GENERAL, {})
    with pytest.raises(RecipeError, match="no reward model helpful, safe"):
        Grader(job, prompts(workshop, GENERAL), GENERAL)


def test_sum_is_graded_by_rule(workshop: Any) -> None:
    grader = Grader(workshop.job("zero", "grpo", PARAMS, {}), prompts(workshop, PARAMS), PARAMS)
    ask = Ask("p", "Q", "12", "en", "math")
    right, wrong = grader.graded(
        [ask], [sample("<think>six and six</think><answer>12</answer>"), sample("<answer>13</answer>")], 96
    )
    assert (right.reward, right.verdict, right.components) == (
        1.2,
        "correct",
        {"accuracy": 1, "format": 0.2, "language": 0},
    )
    assert (wrong.reward, wrong.verdict) == (0.0, "wrong")


def test_unknown_gold_is_undecided_and_leaves_its_group(workshop: Any) -> None:
    grader = Grader(workshop.job("zero", "grpo", PARAMS, {}), prompts(workshop, PARAMS), PARAMS)
    (undecided,) = grader.graded([Ask("p", "Q", "", "en", "math")], [sample("<answer>1</answer>")], 96)
    assert undecided.reward is None
    assert advantages_of([undecided, sample("", 1.0)], PARAMS).tolist() == [0.0, 0.0]


class Heard:
    """A reward model that remembers what it is shown."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def rewards(self, texts: list[str]) -> list[float]:
        """One for each."""
        self.texts += texts
        return [1.0] * len(texts)


def test_helpfulness_is_of_the_summary_and_safety_of_everything(workshop: Any) -> None:
    grader = Grader(workshop.job("zero", "grpo", PARAMS, {}), prompts(workshop, PARAMS), PARAMS)
    helpful, safe = Heard(), Heard()
    grader.models = {"helpful": helpful, "safe": safe}  # type: ignore[dict-item]
    said = "<think>why</think>Hello."
    grader.graded([Ask("p", "Q: ", "", "en", "general")], [sample(said)], 96)
    grader.graded([Ask("p", "Q: ", "", "en", "safety")], [sample(said)], 96)
    assert (helpful.texts, safe.texts) == (["Q: Hello."], ["Q: " + said])


def test_measures_leave_out_what_is_not_defined() -> None:
    samples = [sample("", 1.0), sample("", None)]
    samples[0].verdict, samples[1].verdict = "correct", "undecided"
    samples[0].consistency = 0.5
    found = measures_of(samples)
    assert (found["accuracy"], found["language_consistency"], found["reward"], found["undecided"]) == (1, 0.5, 1, 0.5)
