"""Losses and advantages against closed forms."""

import math

import pytest
import torch

from r1data.training_params import Aggregation, Correction
from training.losses import (
    advantages,
    aggregation_weights,
    clipped_objective,
    completion_loss,
    importance,
    pairwise_loss,
    pointwise_loss,
    token_logprobs,
)

NAN = float("nan")


def test_five_answers_three_right() -> None:
    got = advantages(torch.tensor([[1.0, 1.0, 1.0, 0.0, 0.0]]), "mean_only")
    assert got.tolist()[0] == pytest.approx([0.4, 0.4, 0.4, -0.6, -0.6])


def test_group_without_spread_gives_nothing() -> None:
    assert advantages(torch.ones(2, 4), "group_std").abs().max() == 0


def test_undecided_leaves_its_group() -> None:
    got = advantages(torch.tensor([[1.0, 0.0, NAN]]), "mean_only")
    assert got.tolist()[0] == pytest.approx([0.5, -0.5, 0.0])


def test_group_std_is_scaled() -> None:
    got = advantages(torch.tensor([[1.0, 0.0, 1.0, 0.0]]), "group_std")
    assert got.std() == pytest.approx(1.0, abs=1e-3)


def test_leave_one_out_is_against_the_others() -> None:
    got = advantages(torch.tensor([[3.0, 0.0, 0.0]]), "leave_one_out")
    assert got.tolist()[0] == pytest.approx([3.0, -1.5, -1.5])


@pytest.mark.parametrize("kind", ["token", "sequence", "group"])
def test_token_weights_sum_to_one(kind: str) -> None:
    lengths, groups = torch.tensor([3, 5, 0, 2]), torch.tensor([0, 0, 1, 1])
    weights = aggregation_weights(lengths, groups, kind, 8)  # type: ignore[arg-type]
    assert float((weights * lengths).sum()) == pytest.approx(1.0)


def test_clip_binds_on_the_side_of_the_advantage() -> None:
    policy, old = torch.tensor([0.5, 0.5]), torch.tensor([0.0, 0.0])
    objective, clipped = clipped_objective(policy, old, torch.tensor([1.0, -1.0]), 0.2, 0.2)
    assert objective.tolist() == pytest.approx([1.2, -(0.5**0) * 1.6487213], abs=1e-4)
    assert clipped.tolist() == [True, False]


def test_token_logprobs_are_a_softmax() -> None:
    logits = torch.randn(2, 4, 7)
    ids = torch.randint(0, 7, (2, 4))
    expected = torch.log_softmax(logits[:, :-1] / 0.7, -1).gather(-1, ids[:, 1:, None])[..., 0]
    assert torch.allclose(token_logprobs(logits, ids, 0.7), expected, atol=1e-6)


def test_completion_loss_ignores_the_prompt() -> None:
    logits = torch.randn(1, 3, 5)
    labels = torch.tensor([[-100, -100, 2]])
    assert float(completion_loss(logits, labels)) == pytest.approx(
        -float(torch.log_softmax(logits[0, 1], -1)[2]), abs=1e-5
    )


def test_undecided_group_gives_nothing() -> None:
    assert advantages(torch.full((1, 3), NAN), "group_std").tolist() == [[0.0, 0.0, 0.0]]


def test_each_sequence_or_group_weighs_the_same() -> None:
    lengths, groups = torch.tensor([1, 3, 4]), torch.tensor([0, 0, 1])
    by_sequence = aggregation_weights(lengths, groups, "sequence", 8) * lengths
    assert by_sequence.tolist() == pytest.approx([1 / 3] * 3)
    by_group = aggregation_weights(lengths, groups, "group", 8) * lengths
    assert by_group.tolist() == pytest.approx([1 / 8, 3 / 8, 1 / 2])


def test_importance_is_cut_at_its_cap() -> None:
    got = importance(torch.tensor([0.0, 0.0]), torch.tensor([-5.0, 0.5]), torch.ones(2), "token_truncate", 0.0, 2.0)
    assert got.tolist() == pytest.approx([2.0, 0.6065], abs=1e-4)


def test_pairwise_loss_is_bradley_terry() -> None:
    got = pairwise_loss(torch.tensor([2.0, 0.0]), torch.tensor([0.0, 0.0]))
    assert float(got) == pytest.approx((0.126928 + 0.693147) / 2, abs=1e-5)


def test_pointwise_loss_is_cross_entropy() -> None:
    got = pointwise_loss(torch.tensor([2.0, 2.0]), torch.tensor([1.0, 0.0]))
    assert float(got) == pytest.approx((0.126928 + 2.126928) / 2, abs=1e-5)


def test_a_ratio_is_free_below_where_epsilon_is_ten() -> None:
    policy, old = torch.tensor([-9.0, 2.3, 2.5]), torch.zeros(3)
    objective, clipped = clipped_objective(policy, old, torch.ones(3), 10.0, 10.0)
    assert objective.tolist() == pytest.approx([math.exp(-9.0), math.exp(2.3), 11.0])
    assert clipped.tolist() == [False, False, True]


def test_one_decided_answer_has_nothing_to_be_compared_with() -> None:
    for kind in ("group_std", "mean_only", "leave_one_out"):
        assert advantages(torch.tensor([[3.0, NAN]]), kind).tolist() == [[0.0, 0.0]]


def test_constant_weight_does_not_know_the_length() -> None:
    weights = aggregation_weights(torch.tensor([3, 5, 0, 2]), torch.tensor([0, 0, 1, 1]), "constant", 8)
    assert weights.tolist() == pytest.approx([1 / 24, 1 / 24, 0, 1 / 24])


IMPORTANCE = {
    "token_truncate": [[2.0, 0.5, 1.0], [0.6, 1.0, 1.0]],
    "token_mask": [[0.0, 0.5, 1.0], [0.6, 1.0, 1.0]],
    "sequence_truncate": [[2.0], [0.6]],
    "sequence_mask": [[2.0], [0.6]],
    "none": [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]],
}


@pytest.mark.parametrize("kind", IMPORTANCE)
def test_importance_by_token_and_by_sequence(kind: Correction) -> None:
    ratio, mask = torch.tensor([[4.0, 0.5, 1.0], [0.6, 1.0, 99.0]]), torch.tensor([[1.0, 1, 1], [1, 1, 0]])
    engine = -ratio.log() * mask
    got = importance(torch.zeros(2, 3), engine, mask, kind, 0.5, 2.0)
    assert torch.allclose(got, torch.tensor(IMPORTANCE[kind]))


def test_sequence_beyond_the_cap_or_below_the_floor_is_masked() -> None:
    gap = torch.tensor([[1.0, 0.1], [-1.0, -0.1], [0.3, 0.3]])
    got = importance(gap, torch.zeros(3, 2), torch.ones(3, 2), "sequence_mask", 0.5, 2.0)
    assert got.flatten().tolist() == pytest.approx([0.0, 0.0, math.exp(0.6)])


@pytest.mark.parametrize("kind", ["token", "sequence", "group", "constant"])
def test_shards_of_a_batch_sum_to_its_gradient(kind: Aggregation) -> None:
    """Weights are of the whole batch: however it is cut, the parts' gradients sum to one and the same."""
    lengths, groups = torch.tensor([3, 5, 1, 2, 4, 4]), torch.tensor([0, 0, 1, 1, 2, 2])
    weights = aggregation_weights(lengths, groups, kind, 8)
    mask = torch.arange(5) < lengths[:, None]
    values = torch.randn(6, 5, generator=torch.Generator().manual_seed(0)).double()

    def gradient(shards: list[list[int]]) -> torch.Tensor:
        scale = torch.tensor(0.5, dtype=torch.double, requires_grad=True)
        for rows in shards:
            part = ((values[rows] * scale).exp() * mask[rows] * weights[rows, None]).sum()
            torch.autograd.backward(part)
        assert scale.grad is not None
        return scale.grad

    whole = gradient([[0, 1, 2, 3, 4, 5]])
    for shards in ([[0, 2, 4], [1, 3, 5]], [[0], [1, 2, 3, 4], [5]]):
        assert torch.allclose(gradient(shards), whole, rtol=1e-12)
