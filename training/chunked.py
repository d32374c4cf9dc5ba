"""Log-probs without a batch's logits: the head works on what is learnt from alone, a few positions at a time.

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


def logprobs_of(
    model: Any, ids: torch.Tensor, temperature: float, chunk: int, wanted: torch.Tensor | None = None
) -> torch.Tensor:
    """[rows, length - 1] log-probs of ids[:, 1:] at a temperature, as `token_logprobs` of the model's logits.

    With `wanted` [rows, length - 1] only where it is true, else 0: only those positions go through the head.
    """
    places = torch.ones_like(ids[:, 1:], dtype=torch.bool) if wanted is None else wanted
    if not chunk and _strange(_module_of(model)):
        return token_logprobs(model(input_ids=ids).logits, ids, temperature) * places
    with _head_gives(model, lambda hidden, weight: _scores(hidden, weight, ids, places, temperature, chunk)):
        flat = model(input_ids=ids).logits
    return torch.zeros(places.shape, device=ids.device).masked_scatter(places, flat)


def summed_loss(model: Any, ids: torch.Tensor, labels: torch.Tensor, chunk: int, **more: Any) -> torch.Tensor:
    """Summed cross-entropy of the labels that are not ignored; only their positions go through the head.

    `more` goes to the model.
    """
    if not chunk and _strange(_module_of(model)):
        return completion_loss(model(input_ids=ids, **more).logits, labels)
    wanted = labels[:, 1:] != IGNORED
    with _head_gives(model, lambda hidden, weight: _scores(hidden, weight, labels, wanted, 1.0, chunk)):
        found: torch.Tensor = model(input_ids=ids, **more).logits
    return -found.sum()


def _scores(
    hidden: torch.Tensor, weight: torch.Tensor, ids: torch.Tensor, wanted: torch.Tensor, temperature: float, chunk: int
) -> torch.Tensor:
    """[wanted positions] log-probs of ids[:, 1:]; all logits of these positions at once without a chunk."""
    rows, targets = hidden[:, :-1][wanted], ids[:, 1:][wanted]
    if chunk:
        return chunked_logprobs(rows, weight, targets, temperature, chunk)
    return -F.cross_entropy(F.linear(rows, weight).float() / temperature, targets, reduction="none")


def _module_of(model: Any) -> Any:
    """What a DeepSpeed engine wraps."""
    return getattr(model, "module", model)


def _strange(module: Any) -> str:
    """What of a model's head is not a plain product, in words; empty: nothing."""
    head = module.get_output_embeddings()
    found = [name for name in UNLIKE if getattr(module.config, name, None)]
    if head is None or getattr(head, "bias", None) is not None:
        found.append("a head with a bias, or none")
    return ", ".join(found)


@contextmanager
def _head_gives(model: Any, score: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Iterator[None]:
    """Inside, the model's head returns `score(hidden, weight)` in the place of logits.

    The whole model is called as ever, so that ZeRO-3 gathers the head's weights, forwards and backwards.
    """
    module = _module_of(model)
    if what := _strange(module):
        raise ModelError(f"{type(module).__name__}: loss_chunk does not know {what}", "set loss_chunk = 0")
    head = module.get_output_embeddings()
    head.forward = lambda hidden: score(hidden, head.weight)
    try:
        yield
    finally:
        del head.forward
