"""Dynamic sampling: groups that teach nothing are replaced, the batch keeps its size, all that was asked is kept."""

from typing import Any

import pytest

from r1data.runner import frame_of
from r1data.training_params import GrpoParams, OptimizerParams
from training.collecting import Collected, collected, has_spread
from training.prompts import Extra, Prompts
from training.rollout import Ask, Sample

PARAMS = GrpoParams.model_validate(
    {
        **{"optimizer": OptimizerParams(learning_rate=1e-3), "template": "Q {question}", "steps": 4, "group": 2},
        **{"prompts_per_step": 3, "dynamic_sampling": 2},
    }
)


def prompts(workshop: Any, params: GrpoParams = PARAMS) -> Prompts:
    return Prompts(frame_of(workshop.lake, workshop.problems(40)), params)


def answering(*useful: int) -> Any:
    """Answers of which only the groups with these numbers, in the order of asking, have different rewards."""

    def answers(asks: list[Ask], first: int) -> list[Sample]:
        places = range(first, len(asks))
        return [Sample(i, k, 0, "", [5], [], "stop", float(k * (i in useful))) for i in places for k in range(2)]

    return answers


def step(workshop: Any, number: int, before: Extra, *useful: int, params: GrpoParams = PARAMS) -> Collected:
    return collected(prompts(workshop, params), params, number, before, answering(*useful))


def batch(found: Collected) -> list[int]:
    return [s.ask for s in found.chosen][:: PARAMS.group]


def test_groups_without_spread_are_replaced(workshop: Any) -> None:
    found = step(workshop, 0, (0, 0), 1, 3, 5)
    assert (batch(found), len(found.asks), found.extra) == ([1, 3, 5], 6, (3, 0))
    assert [s.ask for s in found.samples[::2]] == [0, 1, 2, 3, 4, 5]
    assert found.measures(PARAMS) == {"zero_variance": 0.5, "extra_verified": 3, "extra_general": 0}


def test_rounds_end_and_the_batch_is_filled(workshop: Any) -> None:
    found = step(workshop, 0, (0, 0), 4)
    assert (batch(found), len(found.asks)) == ([0, 1, 4], 3 + 3 + 2)


def test_nothing_is_asked_more_by_default(workshop: Any) -> None:
    found = step(workshop, 0, (0, 0), params=PARAMS.model_copy(update={"dynamic_sampling": 0}))
    assert (batch(found), found.extra) == ([0, 1, 2], (0, 0))


def test_steps_go_on_where_the_rounds_before_ended(workshop: Any) -> None:
    first = step(workshop, 0, (0, 0), 0, 1)
    then = step(workshop, 1, first.extra, 0, 1, 2)
    asked = [a.problem_id for a in [*first.asks, *then.asks]]
    assert len(asked) == 3 + 2 + 3
    assert len(set(asked)) == len(asked), "no problem twice within an epoch"


def test_kinds_are_replaced_by_their_own(workshop: Any) -> None:
    mixed = PARAMS.model_copy(update={"general_share": 0.34})
    found = step(workshop, 0, (0, 0), 0, 1, 4, params=mixed)
    assert [a.general for a in found.asks] == [False, False, True, True, True]
    assert (batch(found), found.extra) == ([0, 1, 4], (0, 2))


@pytest.mark.parametrize(
    ("rewards", "spread"), [([1.0, None, 0.0], True), ([1.0, None, 1.0], False), ([None, None], False), ([1.0], False)]
)
def test_undecided_samples_give_no_spread(rewards: list[float | None], spread: bool) -> None:
    assert has_spread([Sample(0, 0, 0, "", [], [], "stop", r) for r in rewards]) is spread
