"""The policy updates of one GRPO step: its samples in mini-batches, each an optimiser update (paper Eq. 1-3).

Ratios are against the trainer's own log-probs before the step's first update; where the engine gave its log-probs too,
they correct for its numerics (importance weight) and must agree right after a sync: stale weights are silent. Samples
of older weights, where the recipe allows them, are corrected by the same weight and cannot agree.
"""

from dataclasses import dataclass

import numpy as np
import torch

from r1data.errors import ModelError
from r1data.training_params import GrpoParams
from training.chunked import logprobs_of
from training.core import Trainer
from training.losses import aggregation_weights, clipped_objective, importance, token_logprobs
from training.reference import Reference
from training.rollout import Sample
from training.schedule import Rows
from training.tokens import PAD, padded

SUMS = 6  # loss, KL, clipped, mismatch, -log-prob, tokens


@dataclass(frozen=True)
class Batch:
    """One micro-batch: ids [rows, length]; mask and the engine's log-probs [rows, length - 1], zero off completions.

    `fresh` [rows, 1]: 1 where the policy before this step drew it, 0 where older weights did.
    """

    ids: torch.Tensor
    mask: torch.Tensor
    engine: torch.Tensor | None
    fresh: torch.Tensor


@dataclass
class PolicyStep:
    """A step's samples with their prompts' token ids (by `Sample.ask`)."""

    params: GrpoParams
    trainer: Trainer
    reference: Reference
    prompts: list[list[int]]
    samples: list[Sample]

    def __post_init__(self) -> None:
        cut = self.params.overlong == "mask"
        self.fresh = [s.weights >= self.trainer.step for s in self.samples]
        self.learnt = [s.reward is not None and not (cut and s.finish_reason != "stop") for s in self.samples]

    def update(self, step: int, advantage: torch.Tensor) -> dict[str, float]:
        """All updates of the step over a seeded split of its samples with advantages [samples]; their metrics."""
        limit = self.params.tokens_at(step)
        parts = self._parts(step)
        # the first part's own forward pass comes before any update: no second one is needed
        later = [self.trainer.mine(rows) for rows in parts[1:]]
        with torch.no_grad():
            old = [[], *([self._logprobs(self._batch(m))[0] for m in micros] for micros in later)]
        sums = torch.zeros(SUMS, dtype=torch.double)
        norm = 0.0
        for rows, olds in zip(parts, old, strict=True):
            weight = self._weights(rows, limit)
            for i, micro in enumerate(self.trainer.mine(rows)):
                sums += self._micro(micro, weight[micro], advantage[micro], olds[i] if olds else None)
            norm = self.trainer.grad_norm()
        loss, kl, clipped, mismatch, surprise, tokens = self.trainer.total_over_ranks(sums)
        per = max(1.0, tokens)
        told = {
            "loss": loss / len(parts),
            "kl": kl / per,
            "clip": clipped / per,
            "entropy": surprise / per,
            "grad_norm": norm,
        }
        return told | ({"mismatch": mismatch / per} if self.samples[0].logprobs else {})

    def _parts(self, step: int) -> list[Rows]:
        order = np.random.default_rng([self.params.seed, step]).permutation(len(self.samples))
        return [self._by_length(rows) for rows in np.split(order, self.params.updates_per_rollout)]

    def _by_length(self, rows: Rows) -> Rows:
        """Those of one length, prompt and completion, beside each other: little padding."""
        lengths = np.array([len(self.prompts[self.samples[i].ask]) + len(self.samples[i].token_ids) for i in rows])
        return rows[np.argsort(lengths, kind="stable")]

    def _weights(self, rows: Rows, limit: int) -> torch.Tensor:
        """[samples] weight of each token of a sample in an update of rows; of undecided and masked ones 0."""
        lengths = torch.tensor([len(self.samples[i].token_ids) * self.learnt[i] for i in rows])
        groups = torch.tensor([self.samples[i].ask for i in rows])
        weight = torch.zeros(len(self.samples), dtype=torch.double)
        weight[rows] = aggregation_weights(lengths, groups, self.params.aggregation, limit)
        return weight

    def _batch(self, rows: Rows, whole: bool = False) -> Batch:
        """The mask is 1 on what is learnt from, or on whole completions."""
        chosen = [self.samples[i] for i in rows]
        ids = padded([[*self.prompts[s.ask], *s.token_ids] for s in chosen], PAD)
        mask = torch.zeros(ids.shape[0], ids.shape[1] - 1)
        engine = torch.zeros_like(mask) if chosen[0].logprobs else None
        for j, (i, s) in enumerate(zip(rows, chosen, strict=True)):
            head = len(self.prompts[s.ask]) - 1
            mask[j, head : head + len(s.token_ids)] = float(whole or self.learnt[i])
            if engine is not None:
                engine[j, head : head + len(s.token_ids)] = torch.tensor(s.logprobs)
        device = self.trainer.device
        fresh = torch.tensor([[float(self.fresh[i])] for i in rows]).to(device)
        return Batch(ids.to(device), mask.to(device), engine.to(device) if engine is not None else None, fresh)

    def _logprobs(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor | None]:
        """[rows, length - 1] log-probs under the policy, 0 off the mask; for `full` all logits with them."""
        if self.params.kl_estimator != "full":
            chunk = self.params.optimizer.loss_chunk
            return logprobs_of(self.trainer.engine, batch.ids, self.params.temperature, chunk, batch.mask > 0), None
        logits = self.trainer.engine(input_ids=batch.ids).logits
        return token_logprobs(logits, batch.ids, self.params.temperature), logits

    @torch.no_grad()
    def kl_of_completions(self) -> list[float]:
        """[samples] estimated divergence from the reference over each whole completion, in nats; collective."""
        found = torch.zeros(len(self.samples), dtype=torch.double)
        for rows in self.trainer.mine(self._by_length(np.arange(len(self.samples)))):
            batch = self._batch(rows, whole=True)
            kl = self.reference.kl(batch.ids, *self._logprobs(batch), batch.mask > 0)
            found[rows] = (kl * batch.mask).sum(1).double().cpu()
        return self.trainer.total_over_ranks(found)

    def _micro(
        self, rows: Rows, weight: torch.Tensor, advantage: torch.Tensor, old: torch.Tensor | None
    ) -> torch.Tensor:
        """Backward of one micro-batch; sums of (loss, KL, clipped, mismatch, -log-prob, tokens)."""
        params, batch = self.params, self._batch(rows)
        policy, logits = self._logprobs(batch)
        old = policy.detach() if old is None else old
        gap = self._mismatch(batch, old)
        advantage = advantage[:, None].to(batch.ids.device)
        objective, clipped = clipped_objective(policy, old, advantage, params.clip_low, params.clip_high)
        if batch.engine is not None:
            floor, cap = params.importance_floor, params.importance_cap
            objective = objective * importance(old, batch.engine, batch.mask, params.importance, floor, cap)
        in_loss = params.kl_place == "loss"
        kl = self.reference.kl(batch.ids, policy, logits, batch.mask > 0) if in_loss else torch.zeros_like(policy)
        w = weight[:, None].to(batch.ids.device)
        loss = -((objective - params.kl * kl) * batch.mask * w).sum().float()
        self.trainer.backward(loss)
        # a token drawn from the policy has on average the log-prob -entropy: no pass over the vocabulary is needed
        per_token = [(v * batch.mask).sum() for v in (kl, clipped, -policy)]
        parts = [loss, *per_token[:2], gap, per_token[2], batch.mask.sum()]
        return torch.stack([p.detach().double().cpu() for p in parts])

    def _mismatch(self, batch: Batch, old: torch.Tensor) -> torch.Tensor:
        """Summed |trainer - engine| log-prob; `ModelError` where its mean says that the weights are not the same.

        That is over samples of the policy before this step: the others are of other weights.
        """
        if batch.engine is None:
            return torch.zeros(())
        gaps, same = (old - batch.engine).abs() * batch.mask, batch.mask * batch.fresh
        mean = float((gaps * batch.fresh).sum() / same.sum().clamp(min=1))
        if not mean <= self.params.max_mismatch:
            raise ModelError(
                f"trainer and engine log-probs differ by {mean:.4f} nats a token, more than {self.params.max_mismatch}",
                "the engine holds stale weights: see its log; these rollouts are thrown away, nothing is committed",
            )
        return gaps.sum()
