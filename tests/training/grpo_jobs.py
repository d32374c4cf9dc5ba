"""Small GRPO jobs and policy steps for the tests."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from r1data.endpoint import Endpoint
from r1data.generate.server import Server
from r1data.manifest import Manifest
from r1data.training_params import GrpoParams, OptimizerParams
from training.core import Trainer, load_model, start
from training.job import Job
from training.policy import PolicyStep
from training.reference import Reference
from training.rollout import Sample

OPTIMIZER = OptimizerParams(learning_rate=1e-3, warmup_steps=0, micro_batch=4)
PARAMS = GrpoParams.model_validate(
    {
        "optimizer": OPTIMIZER,
        "template": "User: {question} Assistant: ",
        "steps": 3,
        "prompts_per_step": 2,
        "group": 4,
        "updates_per_rollout": 2,
        "max_tokens": 24,
        "reference_every": 2,
        "save_every": 1,
    }
)


def job(workshop: Any, base: Manifest, server: Server | None, **changes: Any) -> Job:
    inputs = {"init": base, "problems": workshop.problems(4)}
    endpoint = Endpoint(server.url, "policy") if server else None
    made: Job = workshop.job("zero", "grpo", PARAMS.model_copy(update=changes), inputs, "scratch", endpoint)
    return made


def hf_job(workshop: Any, base: Manifest, scratch: str, **changes: Any) -> Job:
    """Without any server: transformers' model makes the rollouts."""
    inputs = {"init": base, "problems": workshop.problems(4)}
    made: Job = workshop.job("zero", "grpo", PARAMS.model_copy(update=changes), inputs, scratch)
    return replace(made, rollouts="hf")


def policy_step(workshop: Any, base: Manifest, folder: Path, samples: list[Sample], **changes: Any) -> PolicyStep:
    params = PARAMS.model_copy(update={"updates_per_rollout": 1, **changes})
    rank, world = start(0)
    model = load_model(AutoModelForCausalLM, workshop.model(base), "float32")
    batch = len(samples) // params.updates_per_rollout
    trainer = Trainer(model, params.optimizer, 4, batch, folder, rank, world, params.updates_per_rollout)
    reference = Reference(workshop.model(base), params, trainer.device)
    return PolicyStep(params, trainer, reference, [[10, 11, 12], [13, 14]], samples)


def update(step: PolicyStep) -> dict[str, float]:
    return step.update(0, torch.tensor([1.0, -1.0] * (len(step.samples) // 2)))


def samples_of(workshop: Any, base: Manifest, count: int, shift: float | None) -> list[Sample]:
    """Completions of fixed tokens with the model's own log-probs, shifted; without log-probs for None."""
    model = load_model(AutoModelForCausalLM, workshop.model(base), "float32")
    made = []
    for i in range(count):
        head, ids = [[10, 11, 12], [13, 14]][i % 2], [*[20 + i, 30, 21][: 1 + i % 3], 1]
        logprobs = model(input_ids=torch.tensor([head + ids])).logits[0].detach().log_softmax(-1)
        own = [float(logprobs[len(head) - 1 + k, t]) + (shift or 0.0) for k, t in enumerate(ids)]
        made.append(Sample(i % 2, i, i, "", ids, own if shift is not None else [], "stop", 1.0))
    return made


def weights_after(step: PolicyStep) -> torch.Tensor:
    update(step)
    return torch.cat([w.flatten() for _, w in step.trainer.named_weights()])
