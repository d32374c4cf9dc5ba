"""Estimates of the KL divergence against the exact one, and their gradients against what each is the gradient of."""

import pytest
import torch

from r1data.training_params import KlEstimator
from training.kl import full_kl, sampled_kl

WORDS = 5
LOGITS = torch.tensor([0.3, -0.8, 1.1, 0.0, -0.2])
REFERENCE = torch.tensor([1.0, 0.4, -0.5, 0.2, -1.5]).log_softmax(-1)


def expected(kind: KlEstimator, policy: torch.Tensor) -> torch.Tensor:
    """The mean of the estimate over tokens drawn from the policy; the draw itself has no gradient."""
    return (policy.detach().exp() * sampled_kl(kind, policy, REFERENCE)).sum()


def gradient(value: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    (found,) = torch.autograd.grad(value, logits)
    return found


def leaf() -> torch.Tensor:
    return LOGITS.clone().requires_grad_()


def exact(logits: torch.Tensor) -> torch.Tensor:
    policy = logits.log_softmax(-1)
    return (policy.exp() * (policy - REFERENCE)).sum()


@pytest.mark.parametrize("kind", ["k1", "k3"])
def test_right_on_average(kind: KlEstimator) -> None:
    assert float(expected(kind, LOGITS.log_softmax(-1))) == pytest.approx(float(exact(LOGITS)), abs=1e-6)


@pytest.mark.parametrize("kind", ["k3", "k2", "absolute"])
def test_never_negative_and_zero_at_equality(kind: KlEstimator) -> None:
    policy = LOGITS.log_softmax(-1)
    assert (sampled_kl(kind, policy, REFERENCE) > 0).all()
    assert sampled_kl(kind, policy, policy).abs().max() == 0


def test_k1_has_a_sign() -> None:
    found = sampled_kl("k1", LOGITS.log_softmax(-1), REFERENCE)
    assert float(found.min()) < 0 < float(found.max())


def test_k1_as_a_loss_pulls_nowhere() -> None:
    logits = leaf()
    assert gradient(expected("k1", logits.log_softmax(-1)), logits).abs().max() < 1e-6


def test_k2_as_a_loss_has_the_gradient_of_the_divergence() -> None:
    logits = leaf()
    assert torch.allclose(gradient(expected("k2", logits.log_softmax(-1)), logits), gradient(exact(logits), logits))


def test_k3_as_a_loss_has_the_gradient_of_the_reverse() -> None:
    logits = leaf()
    reverse = (REFERENCE.exp() * (REFERENCE - logits.log_softmax(-1))).sum()
    found = gradient(expected("k3", logits.log_softmax(-1)), logits)
    assert torch.allclose(found, gradient(reverse, logits), atol=1e-6)


def test_k1_as_a_reward_has_the_gradient_of_the_divergence() -> None:
    logits = leaf()
    policy = logits.log_softmax(-1)
    penalty = sampled_kl("k1", policy, REFERENCE).detach()
    found = gradient((policy.detach().exp() * penalty * policy).sum(), logits)
    assert torch.allclose(found, gradient(exact(logits), logits), atol=1e-6)


def test_whole_vocabulary_is_exact() -> None:
    logits, reference = LOGITS.expand(1, 3, WORDS), REFERENCE.expand(1, 3, WORDS)
    assert torch.allclose(full_kl(logits, reference, 1.0), exact(LOGITS).expand(1, 2))
    warm = (LOGITS / 2).log_softmax(-1)
    other = (REFERENCE / 2).log_softmax(-1)
    assert float(full_kl(logits, reference, 2.0)[0, 0]) == pytest.approx(float((warm.exp() * (warm - other)).sum()))


def test_whole_vocabulary_is_not_of_one_token() -> None:
    with pytest.raises(ValueError, match="full"):
        sampled_kl("full", LOGITS, REFERENCE)
