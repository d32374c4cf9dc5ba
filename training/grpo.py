"""Group relative policy optimisation (paper 2.1, 3.2): R1-Zero, reasoning RL, all-scenario RL.

python -m training.grpo --recipe demo --node zero --lake ./lake --engine-url http://127.0.0.1:8000 --engine-model policy

Without --engine-url vLLM runs inside this process. Each step: weights to the engine, G completions a prompt, rewards,
group advantages, `updates_per_rollout` updates.
Rollouts are written down before they are used; a resumed run replays them and never asks again.
"""

import sys
from pathlib import Path
from typing import Any

import torch.distributed as dist
from transformers import AutoModelForCausalLM

from r1data.errors import ModelError, RecipeError, StageFailed
from r1data.generate.client import Decoding
from r1data.runner import frame_of
from r1data.training_params import GrpoParams
from training import alarms
from training.best import Best
from training.checkpoint import commit_checkpoint
from training.core import Trainer, load_model, start
from training.engine import Engine, InProcessEngine, ServerEngine
from training.grading import Grader, Prompts, advantages_of, measures_of, rollouts_table
from training.job import Job, run
from training.keeping import Keeper
from training.policy import PolicyStep
from training.reference import Reference
from training.rollout import Ask, Sample, load_rollouts, requests_of, rollouts_file, samples_of, save_rollouts
from training.tokens import encode, load_tokenizer


def train(job: Job) -> None:
    """Steps of rollout, reward and update from the weights of `init`."""
    params = job.node.params
    assert isinstance(params, GrpoParams), "checked when the job was opened"
    _check(job, params)
    rank, world = start(params.seed)
    folder = job.model_folder("init")
    tokenizer = load_tokenizer(folder)
    tables = {role: frame_of(job.lake, job.inputs[role]) for role in ("problems", "prompts") if role in job.inputs}
    prompts = Prompts(tables["problems"], params, tables.get("prompts"))
    grader = Grader(job, prompts, params)
    engine = _engine(job, params, folder, rank, world)
    model = load_model(AutoModelForCausalLM, folder, params.optimizer.dtype)
    batch = params.prompts_per_step * params.group // params.updates_per_rollout
    updates = params.updates_per_rollout
    trainer = Trainer(
        model, params.optimizer, params.steps, batch, job.scratch, rank, world, updates, keeper=Keeper(job, rank)
    )
    reference = Reference(folder, params, trainer.device)
    reference.replace(trainer.resume())
    best = Best(trainer, params.keep)
    for step in range(trainer.step, params.steps):
        asks = prompts.of_step(step)
        samples = _samples(job, params, trainer, engine, grader, asks, step)
        ids = encode(tokenizer, [a.prompt for a in asks], end=False)
        advantage = advantages_of(samples, params)
        try:
            told = PolicyStep(params, trainer, reference, ids, samples, advantage).update(step)
        except ModelError:
            rollouts_file(job.scratch, step).unlink(missing_ok=True)  # drawn from other weights
            raise
        if (step + 1) % params.reference_every == 0:
            reference.replace(dict(trainer.named_weights()))
        measured = measures_of(samples) | told
        tokens = sum(len(s.token_ids) for s in samples)
        trainer.end_step(measured, params.save_every, tokens=tokens, lines=params.steps, extra=reference.state())
        best.look()
        alarms.ring(trainer, params.alarms, reference.state())
    beside = {"rollouts.parquet": rollouts_table(job, params, prompts)} if rank == 0 else {}
    engine.close()
    commit_checkpoint(job, trainer, tokenizer, prompts.probe_texts(), best.counts(), beside, best.weights())


def _engine(job: Job, params: GrpoParams, folder: Path, rank: int, world: int) -> Engine:
    """The server of the command line, else vLLM in this process."""
    if job.endpoint is not None:
        return ServerEngine(job.endpoint, job.scratch, rank)
    return InProcessEngine(folder, params.optimizer.dtype, job.scratch, rank, world)


def _check(job: Job, params: GrpoParams) -> None:
    """What no run could end well with."""
    name = job.node.name
    if params.prompts_per_step * params.group % params.updates_per_rollout:
        raise RecipeError(
            f"{name}: {params.prompts_per_step} x {params.group} samples do not divide into "
            f"{params.updates_per_rollout} updates",
            "choose updates_per_rollout so that they do",
        )
    if params.top_p < 1:
        raise RecipeError(
            f"{name}: top_p {params.top_p}: log-probs of a cut distribution are not the policy's", "set top_p = 1"
        )


def _samples(
    job: Job, params: GrpoParams, trainer: Trainer, engine: Engine, grader: Grader, asks: list[Ask], step: int
) -> list[Sample]:
    """The step's samples, graded: recorded ones if a run before this one got so far, else new ones from the engine."""
    path = rollouts_file(job.scratch, step)
    box: list[Any] = [load_rollouts(path) if trainer.rank == 0 else None]
    if trainer.world > 1:
        dist.broadcast_object_list(box)
    if box[0] is None:
        engine.load(dict(trainer.named_weights()), f"{job.key[:8]}-{step}")
        requests = requests_of(asks, params, step)
        answers = engine.complete(
            requests, Decoding(params.temperature, params.top_p, params.max_tokens, logprobs=True)
        )
        if trainer.rank == 0:
            box = [grader.graded(asks, samples_of(requests, answers))]
            save_rollouts(path, box[0])
        if trainer.world > 1:
            dist.broadcast_object_list(box)
    samples: list[Sample] = box[0]
    if all(s.reward is None for s in samples):
        raise StageFailed(
            f"step {step + 1}: every sample is undecided",
            f"look at the verifier and the gold answers; the samples are in {path}",
        )
    return samples


if __name__ == "__main__":
    sys.exit(run(train, GrpoParams))
