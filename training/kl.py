"""Estimates of the divergence KL(policy || reference) at each token, from the sampled token or the whole vocabulary.

As a number k1, k3 and `full` are right on average. As a term of a loss only the gradient counts, and samples have none:
on average that of k1 is 0, of k2 and `full` that of KL(policy || reference), of k3 that of KL(reference || policy), of
`absolute` that of the total variation. docs/kl.md shows what comes of each.
"""

import torch

from r1data.training_params import KlEstimator


def sampled_kl(kind: KlEstimator, policy: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Per-token estimate, in nats, from the sampled tokens' log-probs under both (Schulman 2020; k3: paper Eq. 2)."""
    gap = reference - policy
    if kind == "k3":
        return gap.exp() - gap - 1
    if kind == "k2":
        return gap.square() / 2
    if kind == "k1":
        return -gap
    if kind == "absolute":
        return gap.abs()
    raise ValueError(f"{kind}: not of sampled tokens")


def full_kl(policy: torch.Tensor, reference: torch.Tensor, temperature: float) -> torch.Tensor:
    """[rows, length - 1] exact divergence at each position, in nats, of [rows, length, vocabulary] logits.

    Costs two more tensors of the size of the logits.
    """
    p = torch.log_softmax(policy[:, :-1].float() / temperature, -1)
    q = torch.log_softmax(reference[:, :-1].float() / temperature, -1)
    return (p.exp() * (p - q)).sum(-1)
