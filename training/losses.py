"""Pure losses and advantages. Denominators are global, so that sharding a batch over ranks changes nothing."""

from typing import Literal

import torch
import torch.nn.functional as F

EPSILON = 1e-4

Kind = Literal["group_std", "mean_only", "leave_one_out"]
Aggregation = Literal["token", "sequence", "group"]


def advantages(rewards: torch.Tensor, kind: Kind) -> torch.Tensor:
    """[groups, size] advantages of [groups, size] rewards; NaN rewards (undecided) leave their group with advantage 0.

    Paper Eq. 3: (r - mean)/std over the group. A group without spread gives 0.
    """
    decided = ~rewards.isnan()
    count = decided.sum(1, keepdim=True).clamp(min=1)
    known = torch.where(decided, rewards, torch.zeros_like(rewards))
    mean = known.sum(1, keepdim=True) / count
    centred = torch.where(decided, rewards - mean, torch.zeros_like(rewards))
    if kind == "mean_only":
        return centred
    if kind == "leave_one_out":
        return centred * count / (count - 1).clamp(min=1)
    deviation = (centred.square().sum(1, keepdim=True) / (count - 1).clamp(min=1)).sqrt()
    return centred / (deviation + EPSILON)


def aggregation_weights(lengths: torch.Tensor, groups: torch.Tensor, kind: Aggregation) -> torch.Tensor:
    """[samples] weight of each token of a sample, so that the weights of all tokens sum to 1.

    token: every token alike; sequence: every sequence alike; group: every group alike, tokens alike within it.
    """
    lengths = lengths.double()
    if kind == "token":
        return torch.full_like(lengths, 1.0 / float(lengths.sum().clamp(min=1)))
    present = lengths > 0
    if kind == "sequence":
        return torch.where(present, 1.0 / (lengths.clamp(min=1) * present.sum().clamp(min=1)), 0.0)
    tokens = torch.zeros(int(groups.max()) + 1, dtype=torch.double).index_add_(0, groups, lengths)
    return torch.where(present, 1.0 / (tokens[groups].clamp(min=1) * (tokens > 0).sum().clamp(min=1)), 0.0)


def k3(policy: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Per-token KL estimate r - log r - 1 with r = reference/policy (paper Eq. 2): unbiased, never negative."""
    gap = reference - policy
    return gap.exp() - gap - 1


def clipped_objective(
    policy: torch.Tensor, old: torch.Tensor, advantage: torch.Tensor, low: float, high: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Per-token min(ratio A, clip(ratio, 1 - low, 1 + high) A) (paper Eq. 1), and where the clip bound."""
    ratio = (policy - old).exp()
    plain, clipped = ratio * advantage, ratio.clamp(1 - low, 1 + high) * advantage
    return torch.minimum(plain, clipped), clipped < plain


def importance(trainer: torch.Tensor, engine: torch.Tensor, cap: float) -> torch.Tensor:
    """Per-token weight min(trainer/engine, cap) of samples that an engine of other numerics drew; no gradient."""
    return (trainer - engine).detach().exp().clamp(max=cap)


def token_logprobs(logits: torch.Tensor, ids: torch.Tensor, temperature: float) -> torch.Tensor:
    """[rows, length - 1] log-probs of ids[:, 1:] under logits[:, :-1] at a temperature."""
    scaled = logits[:, :-1].float() / temperature
    return -F.cross_entropy(scaled.flatten(0, 1), ids[:, 1:].flatten(), reduction="none").view(ids.shape[0], -1)


def completion_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Summed cross-entropy of the labels that are not ignored; the caller divides by the global count."""
    return F.cross_entropy(logits[:, :-1].float().flatten(0, 1), labels[:, 1:].flatten(), reduction="sum")


def pairwise_loss(chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
    """Mean Bradley-Terry loss -log sigmoid(chosen - rejected) (paper 3.1)."""
    return -F.logsigmoid(chosen - rejected).mean()


def pointwise_loss(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean binary cross-entropy of scores against labels in {0, 1}."""
    return F.binary_cross_entropy_with_logits(scores, labels)
