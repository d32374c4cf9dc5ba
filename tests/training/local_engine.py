"""An engine beside the trainer, as a server is: weights of its own, seeded samples with log-probs, and a diary."""

import threading
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from r1data.generate.client import Completion, CompletionRequest, Decoding
from training.core import load_model
from training.tokens import EOS, load_tokenizer
from training.transfer import Weights, pairs


class LocalEngine:
    """`diary`: ("load", steps behind the weights), ("ask", the same); `on_ask` is called with the number of the ask."""

    device = "cpu"

    def __init__(self, folder: Path, on_ask: Callable[[int], None] = lambda _: None) -> None:
        self.model = load_model(AutoModelForCausalLM, folder, "float32").eval()
        self.tokenizer = load_tokenizer(folder)
        self.on_ask, self.asks, self.deaf = on_ask, 0, False
        self.diary: list[tuple[str, int]] = []
        self.holds, self.in_flight = -1, 0
        self.threads: set[str] = set()

    def load(self, weights: Weights, version: str) -> None:
        assert not self.in_flight, "weights changed under a request"
        self.holds = int(version.rpartition("-")[2])
        self.diary.append(("load", self.holds))
        if not self.deaf or not self.holds:
            self.model.load_state_dict(dict(pairs(weights)), strict=False)

    def complete(self, requests: list[CompletionRequest], decoding: Decoding) -> list[list[Completion]]:
        self.in_flight += 1
        self.diary.append(("ask", self.holds))
        self.threads.add(threading.current_thread().name)
        self.asks += 1
        try:
            self.on_ask(self.asks)
            return [self._children(r, decoding) for r in requests]
        finally:
            self.in_flight -= 1

    @torch.no_grad()
    def prompt_logprobs(self, token_ids: list[int]) -> list[list[float]]:
        logits = self.model(input_ids=torch.tensor([token_ids])).logits[0].log_softmax(-1)
        return [[float(logits[i, t]) for i, t in enumerate(token_ids[1:])]]

    @torch.no_grad()
    def _children(self, request: CompletionRequest, decoding: Decoding) -> list[Completion]:
        made = [torch.Generator().manual_seed((request.seed + k) % 2**63) for k in range(request.n)]
        head = self.tokenizer(request.prompt, add_special_tokens=False)["input_ids"]
        ids, told = torch.tensor([head] * request.n), []
        for _ in range(decoding.max_tokens):
            logprobs = (self.model(input_ids=ids).logits[:, -1] / decoding.temperature).log_softmax(-1)
            drawn = torch.stack(
                [torch.multinomial(p.exp(), 1, generator=g) for p, g in zip(logprobs, made, strict=True)]
            )
            told.append(logprobs.gather(1, drawn))
            ids = torch.cat([ids, drawn], 1)
        return [self._child(ids[k, len(head) :], torch.cat(told, 1)[k], len(head)) for k in range(request.n)]

    def _child(self, ids: torch.Tensor, logprobs: torch.Tensor, prompt: int) -> Completion:
        ended = (ids == EOS).nonzero()
        length = int(ended[0]) + 1 if len(ended) else len(ids)
        kept, reason = tuple(ids[:length].tolist()), "stop" if len(ended) else "length"
        text = self.tokenizer.decode(kept)
        return Completion(text, kept, tuple(logprobs[:length].tolist()), reason, prompt, length)

    def close(self) -> None:
        pass
