"""Log-probs without a batch's logits: the head works on a few positions at a time, in both directions.

Of 32,768 positions and 152,064 tokens the logits alone are 19.9 GB in fp32, and their gradient as much again. Here
`chunk` positions have logits at a time; the backward pass computes them again (the head's share of the work once more).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F

from r1data.errors import ModelError
from training.losses import completion_loss, token_logprobs
from training.tokens import IGNORED

# heads that do more than multiply: their models change the logits afterwards
UNLIKE = ("final_logit_softcapping", "logit_scale", "logits_scaling")


class _LogProbs(torch.autograd.Function):
    """See `chunked_logprobs`; the gradient of a log-softmax is (one-hot - probabilities)."""

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, temperature: float, chunk: int
    ) -> torch.Tensor:
        found = torch.empty(len(targets), device=hidden.device)
        for i in range(0, len(targets), chunk):
            logits = (hidden[i : i + chunk] @ weight.t()).float().div_(temperature)
            found[i : i + chunk] = -F.cross_entropy(logits, targets[i : i + chunk], reduction="none")
        ctx.save_for_backward(hidden, weight, targets)
        ctx.temperature, ctx.chunk = temperature, chunk
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None, None, None]:
        (gradient,) = gradients
        hidden, weight, targets = ctx.saved_tensors
        to_hidden = torch.empty_like(hidden)
        to_weight = torch.zeros_like(weight, dtype=torch.float32)  # summed over chunks: bf16 would lose small parts
        for i in range(0, len(targets), ctx.chunk):
            part, wanted = hidden[i : i + ctx.chunk], targets[i : i + ctx.chunk, None]
            scale = gradient[i : i + ctx.chunk, None] / ctx.temperature
            slope = torch.softmax((part @ weight.t()).float().div_(ctx.temperature), -1).mul_(-scale)
            slope = slope.scatter_add_(1, wanted, scale).to(hidden.dtype)
            to_hidden[i : i + ctx.chunk] = slope @ weight
            to_weight += slope.t() @ part
        return to_hidden, to_weight.to(weight.dtype), None, None, None


def chunked_logprobs(
    hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, temperature: float, chunk: int
) -> torch.Tensor:
    """[n] fp32 log-probs of targets [n] under softmax(hidden [n, size] @ weight [vocabulary, size].T / temperature)."""
    found: torch.Tensor = _LogProbs.apply(hidden, weight, targets, temperature, chunk)  # type: ignore[no-untyped-call]
    return found


def logprobs_of(model: Any, ids: torch.Tensor, temperature: float, chunk: int) -> torch.Tensor:
    """[rows, length - 1] log-probs of ids[:, 1:] at a temperature, as `token_logprobs` of the model's logits."""
    if not chunk:
        return token_logprobs(model(input_ids=ids).logits, ids, temperature)

    def score(hidden: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        flat = chunked_logprobs(hidden[:, :-1].flatten(0, 1), weight, ids[:, 1:].flatten(), temperature, chunk)
        return flat.view(ids.shape[0], -1)

    with _head_gives(model, score):
        found: torch.Tensor = model(input_ids=ids).logits
    return found


def summed_loss(model: Any, ids: torch.Tensor, labels: torch.Tensor, chunk: int, **more: Any) -> torch.Tensor:
    """Summed cross-entropy of the labels that are not ignored; only their positions go through the head.

    `more` goes to the model. Without a chunk: `completion_loss` of all logits.
    """
    if not chunk:
        return completion_loss(model(input_ids=ids, **more).logits, labels)
    wanted = labels[:, 1:] != IGNORED

    def score(hidden: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return chunked_logprobs(hidden[:, :-1][wanted], weight, labels[:, 1:][wanted], 1.0, chunk)

    with _head_gives(model, score):
        found: torch.Tensor = model(input_ids=ids, **more).logits
    return -found.sum()


@contextmanager
def _head_gives(model: Any, score: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Iterator[None]:
    """Inside, the model's head returns `score(hidden, weight)` in the place of logits.

    The whole model is called as ever, so that ZeRO-3 gathers the head's weights, forwards and backwards.
    """
    module = getattr(model, "module", model)  # of a DeepSpeed engine
    head = module.get_output_embeddings()
    strange = [name for name in UNLIKE if getattr(module.config, name, None)]
    if head is None or getattr(head, "bias", None) is not None or strange:
        what = ", ".join(strange) or "a head with a bias, or none"
        raise ModelError(f"{type(module).__name__}: loss_chunk does not know {what}", "set loss_chunk = 0")
    head.forward = lambda hidden: score(hidden, head.weight)
    try:
        yield
    finally:
        del head.forward
