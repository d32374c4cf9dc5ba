"""Losses and advantages against closed forms."""

import pytest
import torch

from training.losses import (
    advantages,
    aggregation_weights,
    clipped_objective,
    completion_loss,
    importance,
    k3,
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
    weights = aggregation_weights(lengths, groups, kind)  # type: ignore[arg-type]
    assert float((weights * lengths).sum()) == pytest.approx(1.0)


def test_k3_is_zero_at_equality_and_positive_elsewhere() -> None:
    a = torch.tensor([-1.0, -2.0])
    assert k3(a, a).abs().max() == 0
    assert (k3(a, a + torch.tensor([0.5, -0.5])) > 0).all()


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
    by_sequence = aggregation_weights(lengths, groups, "sequence") * lengths
    assert by_sequence.tolist() == pytest.approx([1 / 3] * 3)
    by_group = aggregation_weights(lengths, groups, "group") * lengths
    assert by_group.tolist() == pytest.approx([1 / 8, 3 / 8, 1 / 2])


def test_importance_is_cut_at_its_cap() -> None:
    got = importance(torch.tensor([0.0, 0.0]), torch.tensor([-5.0, 0.5]), 2.0)
    assert got.tolist() == pytest.approx([2.0, 0.6065], abs=1e-4)


def test_pairwise_loss_is_bradley_terry() -> None:
    got = pairwise_loss(torch.tensor([2.0, 0.0]), torch.tensor([0.0, 0.0]))
    assert float(got) == pytest.approx((0.126928 + 0.693147) / 2, abs=1e-5)


def test_pointwise_loss_is_cross_entropy() -> None:
    got = pointwise_loss(torch.tensor([2.0, 2.0]), torch.tensor([1.0, 0.0]))
    assert float(got) == pytest.approx((0.126928 + 2.126928) / 2, abs=1e-5)
