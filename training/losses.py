"""Pure losses and advantages. Denominators are global, so that sharding a batch over ranks changes nothing."""

import torch
import torch.nn.functional as F

from r1data.training_params import Advantage, Aggregation, Correction

EPSILON = 1e-4


def advantages(rewards: torch.Tensor, kind: Advantage) -> torch.Tensor:
    """[groups, size] advantages of [groups, size] rewards; NaN rewards (undecided) leave their group with advantage 0.

    Paper Eq. 3: (r - mean)/std over the group. A group without spread, of one sample or all undecided, gives 0.
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


def aggregation_weights(lengths: torch.Tensor, groups: torch.Tensor, kind: Aggregation, limit: int) -> torch.Tensor:
    """[samples] weight of each token of a sample; of all tokens together 1, but for `constant`. No length: no weight.

    token: every token alike; sequence: every sequence alike; group: every group alike, tokens alike within it;
    constant: 1 / (sequences x limit), so that a longer sequence weighs more and its tokens no less (Dr. GRPO).
    """
    lengths = lengths.double()
    if kind == "token":
        return torch.full_like(lengths, 1.0 / float(lengths.sum().clamp(min=1)))
    present = lengths > 0
    if kind == "sequence":
        return torch.where(present, 1.0 / (lengths.clamp(min=1) * present.sum().clamp(min=1)), 0.0)
    if kind == "constant":
        return torch.where(present, 1.0 / (limit * present.sum().clamp(min=1)), 0.0).double()
    tokens = torch.zeros(int(groups.max()) + 1, dtype=torch.double).index_add_(0, groups, lengths)
    return torch.where(present, 1.0 / (tokens[groups].clamp(min=1) * (tokens > 0).sum().clamp(min=1)), 0.0)


def clipped_objective(
    policy: torch.Tensor, old: torch.Tensor, advantage: torch.Tensor, low: float, high: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Per-token min(ratio A, clip(ratio, 1 - low, 1 + high) A) (paper Eq. 1), and where the clip bound."""
    ratio = (policy - old).exp()
    plain, clipped = ratio * advantage, ratio.clamp(1 - low, 1 + high) * advantage
    return torch.minimum(plain, clipped), clipped < plain


def importance(
    trainer: torch.Tensor, engine: torch.Tensor, mask: torch.Tensor, kind: Correction, floor: float, cap: float
) -> torch.Tensor:
    """Weight trainer/engine of samples that an engine of other numerics drew, without gradient.

    [rows, length], or [rows, 1] of sequences, whose ratio is the product over their tokens (where the mask is 1).
    truncate: cut to [floor, cap]; mask: 0 outside of it.
    """
    gap = (trainer - engine).detach()
    if kind == "none":
        return torch.ones_like(gap)
    if kind.startswith("sequence"):
        gap = (gap * mask).sum(1, keepdim=True)
    ratio = gap.exp()
    if kind.endswith("truncate"):
        return ratio.clamp(min=floor, max=cap)
    return torch.where((ratio >= floor) & (ratio <= cap), ratio, 0.0)


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
