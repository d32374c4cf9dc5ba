"""Group relative policy optimisation (paper 2.1, 3.2): R1-Zero, reasoning RL, all-scenario RL.

python -m training.grpo --recipe demo --node zero --lake ./lake --engine-url http://127.0.0.1:8000 --engine-model policy

Each step: weights to the server, G completions a prompt, rewards, group advantages, `updates_per_rollout` updates.
The first update of every step compares the trainer's log-probs with the engine's: stale weights stop the run.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from transformers import AutoModelForCausalLM

from r1data.errors import ModelError, StageFailed
from r1data.training_params import GrpoParams
from training.checkpoint import commit_checkpoint
from training.core import Trainer, load_model, start
from training.grading import Grader, asks_of_step, rollouts_table
from training.job import Job, run
from training.losses import advantages, aggregation_weights, clipped_objective, k3, token_logprobs
from training.rollout import Ask, Sample, load_rollouts, push_weights, rollouts, save_rollouts
from training.tokens import PAD, encode, load_tokenizer, padded


def train(job: Job) -> None:
    """Steps of rollout, reward and update from the weights of `init`."""
    params = job.node.params
    assert isinstance(params, GrpoParams), f"{job.node.name}: no GRPO node"
    if job.endpoint is None:
        raise StageFailed(f"{job.node.name}: no engine for rollouts", "give --engine-url of a vLLM server")
    rank, world = start(params.seed)
    folder = job.model_folder("init")
    tokenizer = load_tokenizer(folder)
    grader = Grader(job, params)
    model = load_model(AutoModelForCausalLM, folder, params.optimizer.dtype)
    reference = Reference(folder, params)
    batch = params.prompts_per_step * params.group // params.updates_per_rollout
    total = params.steps * params.updates_per_rollout
    trainer = Trainer(model, params.optimizer, total, batch, job.scratch, rank, world)
    trainer.resume()
    reference.resume(job.scratch, trainer.step)
    first = trainer.step // params.updates_per_rollout
    for step in range(first, params.steps):
        asks = asks_of_step(grader.problems, params, step)
        samples = _rollouts(job, params, trainer, grader, asks, step)
        _update(params, trainer, reference, tokenizer, asks, samples, step)
        done = step + 1
        if done % params.reference_every == 0:
            reference.replace(dict(trainer.named_weights()))
        if done % params.save_every == 0 and done < params.steps:
            reference.save(job.scratch, trainer.step, rank)
            trainer.save()
    table = rollouts_table(job, params, grader.problems) if rank == 0 else None
    commit_checkpoint(job, trainer, tokenizer, grader.probe_texts(), table)


class Reference:
    """The frozen policy that the KL is measured against; replaced every `reference_every` steps."""

    def __init__(self, folder: Path, params: GrpoParams) -> None:
        self.model = load_model(AutoModelForCausalLM, folder, params.optimizer.dtype).eval() if params.kl else None
        self.replaced = False

    def replace(self, weights: dict[str, torch.Tensor]) -> None:
        """Take the policy's weights."""
        if self.model is not None:
            self.model.load_state_dict(weights, strict=False)  # a tied head has no weights of its own
            self.replaced = True

    def save(self, scratch: Path, step: int, rank: int) -> None:
        """Keep replaced weights for a resumed run."""
        if self.model is not None and self.replaced and rank == 0:
            torch.save(self.model.state_dict(), scratch / f"reference-{step:07d}.pt")

    def resume(self, scratch: Path, step: int) -> None:
        """The weights that were the reference at a step."""
        path = scratch / f"reference-{step:07d}.pt"
        if self.model is not None and path.exists():
            self.model.load_state_dict(torch.load(path, weights_only=True))
            self.replaced = True

    @torch.no_grad()
    def logprobs(self, ids: torch.Tensor, temperature: float) -> torch.Tensor | None:
        """[rows, length - 1], or None without a KL term."""
        if self.model is None:
            return None
        return token_logprobs(self.model.to(ids.device)(input_ids=ids).logits, ids, temperature)


def _rollouts(
    job: Job, params: GrpoParams, trainer: Trainer, grader: Grader, asks: list[Ask], step: int
) -> list[Sample]:
    """The step's samples, graded: recorded ones if a run before this one got so far, else new ones from the server."""
    path = job.scratch / "rollouts" / f"step-{step:06d}.json"
    samples = load_rollouts(path)
    weights = dict(trainer.named_weights()) if samples is None else {}  # collective: on every rank
    if samples is None and trainer.rank == 0:
        assert job.endpoint is not None, "checked at the start"
        push_weights(weights, job.endpoint, job.scratch, f"{job.key[:8]}-{step}")
        samples = grader.graded(asks, rollouts(asks, params, job.endpoint, step))
        save_rollouts(path, samples)
    if trainer.world > 1:
        box: list[Any] = [samples]
        dist.broadcast_object_list(box)
        samples = box[0]
    assert samples is not None, "rank 0 has them"
    if all(s.reward is None for s in samples):
        raise StageFailed(f"step {step + 1}: every sample is undecided", "look at the verifier and the gold answers")
    return samples


def _update(
    params: GrpoParams,
    trainer: Trainer,
    reference: Reference,
    tokenizer: Any,
    asks: list[Ask],
    samples: list[Sample],
    step: int,
) -> None:
    """The updates of one step over a seeded split of its samples; one row of metrics an update."""
    rewards = torch.tensor([float("nan") if s.reward is None else s.reward for s in samples])
    advantage = advantages(rewards.view(-1, params.group), params.advantage).flatten()
    prompts = encode(tokenizer, [a.prompt for a in asks], end=False)
    order = np.random.default_rng([params.seed, step]).permutation(len(samples))
    told = _told(samples, params)
    for rows in np.split(order, params.updates_per_rollout):
        lengths = torch.tensor([len(samples[i].token_ids) * (samples[i].reward is not None) for i in rows])
        groups = torch.tensor([samples[i].ask for i in rows])
        weight = dict(zip(rows, aggregation_weights(lengths, groups, params.aggregation), strict=True))
        sums = torch.zeros(5, dtype=torch.double)
        for micro in trainer.mine(rows):
            sums += _micro(params, trainer, reference, prompts, samples, advantage, weight, micro)
        if trainer.world > 1:
            dist.all_reduce(sums)
        loss, kl, clipped, mismatch, tokens = sums.tolist()
        if trainer.step % params.updates_per_rollout == 0:
            _check_mismatch(params, mismatch / max(1, tokens))
        norm = float(trainer.engine.get_global_grad_norm() or 0.0)
        per = max(1.0, tokens)
        trainer.record(**told, loss=loss, kl=kl / per, clip=clipped / per, mismatch=mismatch / per, grad_norm=norm)


def _check_mismatch(params: GrpoParams, mismatch: float) -> None:
    """Right after a sync trainer and engine must agree; later updates have moved on."""
    if mismatch > params.max_mismatch:
        raise ModelError(
            f"trainer and engine log-probs differ by {mismatch:.4f} nats a token, more than {params.max_mismatch}",
            "the engine holds stale weights: see its log; nothing was committed",
        )


def _micro(
    params: GrpoParams,
    trainer: Trainer,
    reference: Reference,
    prompts: list[list[int]],
    samples: list[Sample],
    advantage: torch.Tensor,
    weight: dict[int, torch.Tensor],
    rows: Any,
) -> torch.Tensor:
    """Backward of one micro-batch; sums of (loss, KL, clipped, mismatch, tokens)."""
    chosen = [samples[i] for i in rows]
    heads = [len(prompts[s.ask]) for s in chosen]
    ids = padded([[*prompts[s.ask], *s.token_ids] for s in chosen], PAD).to(trainer.device)
    mask = torch.zeros(ids.shape[0], ids.shape[1] - 1, device=ids.device)
    engine = torch.zeros_like(mask)
    for j, (head, s) in enumerate(zip(heads, chosen, strict=True)):
        span = slice(head - 1, head - 1 + len(s.token_ids))
        mask[j, span] = float(s.reward is not None)
        if s.logprobs:
            engine[j, span] = torch.tensor(s.logprobs)
    policy = token_logprobs(trainer.engine(input_ids=ids).logits, ids, params.temperature)
    recorded = bool(chosen[0].logprobs)
    old = engine if recorded else policy.detach()
    a = advantage[rows][:, None].to(ids.device)
    objective, clipped = clipped_objective(policy, old, a, params.clip_low, params.clip_high)
    ref = reference.logprobs(ids, params.temperature)
    kl = k3(policy, ref) if ref is not None else torch.zeros_like(policy)
    w = torch.stack([weight[i] for i in rows])[:, None].to(ids.device)
    loss = -((objective - params.kl * kl) * mask * w).sum().float()
    trainer.backward(loss)
    with torch.no_grad():
        gap = ((policy - old).abs() * mask).sum()
        parts = [loss, (kl * mask).sum(), (clipped * mask).sum(), gap, mask.sum()]
        return torch.stack([p.detach().double().cpu() for p in parts])


def _told(samples: list[Sample], params: GrpoParams) -> dict[str, float]:
    """What a person watches: means over the step's samples; shares over those they are defined for."""
    rule = [s for s in samples if s.verdict]
    found: dict[str, float] = {
        "reward": _mean([s.reward for s in samples]),
        "accuracy": _mean([float(s.verdict == "correct") for s in rule if s.verdict != "undecided"]),
        "format": _mean([float(s.format_ok) for s in rule]),
        "language_consistency": _mean([s.consistency for s in rule]),
        "completion_tokens": _mean([float(len(s.token_ids)) for s in samples]),
        "reflection_words": _mean([float(s.reflection_words) for s in rule]),
        "undecided": _mean([float(s.reward is None) for s in samples]),
        "truncated": _mean([float(s.finish_reason != "stop") for s in samples]),
    }
    for name in sorted({n for s in samples for n in s.components or {}}):
        found[f"reward_{name}"] = _mean([(s.components or {}).get(name) for s in samples])
    return {k: v for k, v in found.items() if v == v}


def _mean(values: list[float | None]) -> float:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else float("nan")


if __name__ == "__main__":
    sys.exit(run(train))
