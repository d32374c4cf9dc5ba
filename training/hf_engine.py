"""Rollouts by transformers' own model inside every rank: no vLLM, no server, on CPU or GPU.

A completion is drawn by numbers of its own seed alone, one a token, through the inverse of the cumulative distribution:
it is the same in whatever batch it was in, but for rounding in the logits.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, DynamicCache

from r1data.errors import ContextOverflow, ModelError
from r1data.generate.client import Completion, CompletionRequest, Decoding
from r1data.sizing import HF_ROWS, HF_TOKENS
from training.core import load_model
from training.engine import shared_out
from training.tokens import encode, load_tokenizer
from training.transfer import Weights, pairs


@dataclass
class Child:
    """One completion in the making: its prompt's ids, the most tokens it may get, its seed, what it has so far."""

    prompt: list[int]
    limit: int
    seed: int
    ids: list[int]
    logprobs: list[float]

    def draws(self) -> torch.Tensor:
        """[limit] uniform numbers in [0, 1), one a token."""
        return torch.rand(self.limit, generator=torch.Generator().manual_seed(self.seed), dtype=torch.double)


class HfEngine:
    """A copy of the policy for inference in this process; each rank answers its share of the requests."""

    def __init__(self, folder: Path, dtype: str, rank: int, world: int, rows: int = HF_ROWS) -> None:
        self.rank, self.world, self.rows = rank, world, rows
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model: Any = load_model(AutoModelForCausalLM, folder, dtype).eval().requires_grad_(False).to(self.device)
        self.tokenizer = load_tokenizer(folder)
        told = self.model.generation_config.eos_token_id
        self.ends = {self.tokenizer.eos_token_id, *(told if isinstance(told, list) else [told])} - {None}

    def load(self, weights: Weights, version: str) -> None:
        """Copied into the model here; `ModelError` where a tensor is missing or unknown: it would stay stale."""
        own = dict(self.model.named_parameters())  # a tied head has no weights of its own
        unlike = set(own)
        for name, tensor in pairs(weights):
            if name in own and own[name].shape == tensor.shape:
                own[name].data.copy_(tensor)
                unlike.discard(name)
            else:
                unlike.add(name)
        if unlike:
            raise ModelError(
                f"weights {version}: {len(unlike)} tensors are not those of the rollouts' model, e.g. {min(unlike)}",
                "trainer and rollouts must be of one architecture: look at the config.json of `init`",
            )

    @torch.inference_mode()
    def complete(self, requests: list[CompletionRequest], decoding: Decoding) -> list[list[Completion]]:
        """Every rank its share, gathered."""
        return shared_out(requests, partial(self._answers, decoding=decoding), self.rank, self.world)

    def close(self) -> None:
        """Its memory goes with it."""

    def _answers(self, requests: list[CompletionRequest], decoding: Decoding) -> list[list[Completion]]:
        groups = [self._children(r, decoding) for r in requests]
        children = [c for group in groups for c in group]
        while children:
            most = max(len(c.prompt) + c.limit for c in children)
            rows = max(1, min(self.rows, HF_TOKENS // most))
            self._generate(children[:rows], decoding)
            children = children[rows:]
        return [[self._completion(c, decoding) for c in group] for group in groups]

    def _children(self, request: CompletionRequest, decoding: Decoding) -> list[Child]:
        """Those of a request, with no more tokens than the model's context has room for."""
        told = request.prompt
        prompt = encode(self.tokenizer, [told], end=False)[0] if isinstance(told, str) else list(told)
        limit = request.max_tokens or decoding.max_tokens
        room = getattr(self.model.config, "max_position_embeddings", len(prompt) + limit) - len(prompt)
        if not prompt or room < 1:
            raise ContextOverflow(
                f"rollouts: prompt {request.tag} has {len(prompt)} tokens, which leaves the model {room}",
                "shorten the template or leave the problem out",
            )
        return [Child(prompt, min(limit, room), request.seed + k, [], []) for k in range(request.n)]

    def _generate(self, children: list[Child], decoding: Decoding) -> None:
        """Fill in the children of one batch: left-padded, cached; those that ended leave it half by half."""
        cache = DynamicCache(config=self.model.config)
        ids, mask, position = self._padded([c.prompt for c in children])
        draws = torch.nn.utils.rnn.pad_sequence([c.draws() for c in children], batch_first=True).to(self.device)
        rows = list(range(len(children)))  # of the batch: which child each is
        for place in range(draws.shape[1]):
            logits = self.model(
                input_ids=ids, attention_mask=mask, position_ids=position, past_key_values=cache, logits_to_keep=1
            ).logits[:, -1]
            tokens, logprobs = sampled(logits, draws[:, place], decoding)
            for row, token, logprob in zip(rows, tokens.tolist(), logprobs.tolist(), strict=True):
                if not self._ended(children[row]):
                    children[row].ids.append(token)
                    children[row].logprobs.append(logprob)
            going = [i for i, row in enumerate(rows) if not self._ended(children[row])]
            if not going:
                return
            ids, position = tokens[:, None], position[:, -1:] + 1
            mask = torch.cat([mask, mask.new_ones(len(rows), 1)], 1)
            if 2 * len(going) <= len(rows):
                kept = torch.tensor(going, device=self.device)
                cache.batch_select_indices(kept)
                ids, position, mask, draws = ids[kept], position[kept], mask[kept], draws[kept]
                rows = [rows[i] for i in going]

    def _padded(self, prompts: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """[rows, longest] ids, mask and positions, padded on the left: every row's next token is at the right."""
        longest = max(len(p) for p in prompts)
        ids = torch.tensor([[0] * (longest - len(p)) + p for p in prompts], device=self.device)
        mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=self.device)
        return ids, mask, (mask.cumsum(1) - 1).clamp(min=0)

    def _ended(self, child: Child) -> bool:
        return len(child.ids) == child.limit or (bool(child.ids) and child.ids[-1] in self.ends)

    def _completion(self, child: Child, decoding: Decoding) -> Completion:
        """As vLLM tells it: the end token among the ids, not in the text."""
        stopped = child.ids[-1] in self.ends
        said = child.ids[:-1] if stopped else child.ids
        text = self.tokenizer.decode(said, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        logprobs = tuple(child.logprobs) if decoding.logprobs else ()
        end = "stop" if stopped else "length"
        return Completion(text, tuple(child.ids), logprobs, end, len(child.prompt), len(child.ids))


def sampled(logits: torch.Tensor, draws: torch.Tensor, decoding: Decoding) -> tuple[torch.Tensor, torch.Tensor]:
    """[rows] tokens and their log-probs from [rows, vocabulary] logits and [rows] uniform numbers.

    Log-probs are those of the distribution drawn from, after temperature and top-p (vLLM's `processed_logprobs`); at a
    temperature of 0 the likeliest token is taken, with its log-prob at 1.
    """
    logprobs = (logits.float() / (decoding.temperature or 1.0)).log_softmax(-1)
    if not decoding.temperature:
        best = logprobs.max(-1)
        return best.indices, best.values
    if decoding.top_p < 1:
        logprobs = _nucleus(logprobs, decoding.top_p)
    below = logprobs.double().exp().cumsum(-1)
    # strictly below the sum of all, so that what has no probability is never drawn
    found = torch.minimum(draws * below[:, -1], below[:, -1].nextafter(torch.zeros_like(draws)))
    tokens = torch.searchsorted(below, found[:, None], right=True)
    return tokens[:, 0], logprobs.gather(1, tokens)[:, 0]


def _nucleus(logprobs: torch.Tensor, top_p: float) -> torch.Tensor:
    """Log-probs of the fewest likeliest tokens that have `top_p` of the probability together; -inf for all others."""
    ordered, order = logprobs.sort(dim=-1, descending=True, stable=True)
    before = ordered.exp().cumsum(-1) - ordered.exp()
    dropped = torch.zeros_like(logprobs, dtype=torch.bool).scatter(1, order, before >= top_p)
    dropped.scatter_(1, order[:, :1], False)
    return logprobs.masked_fill(dropped, float("-inf")).log_softmax(-1)
