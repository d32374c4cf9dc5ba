"""Group relative policy optimisation (paper 2.1, 3.2): R1-Zero, reasoning RL, all-scenario RL.

python -m training.grpo --recipe demo --node zero --lake ./lake --engine-url http://127.0.0.1:8000 --engine-model policy

Without --engine-url vLLM runs inside this process, with --rollouts hf transformers' own model. Each step: weights to
the engine, G completions a prompt, rewards, group advantages, `updates_per_rollout` updates.
Rollouts are written down before they are used; a resumed run replays them and never asks again. With `max_staleness` 1
those of the next step are asked while this one trains: `collecting`.
"""

from contextlib import closing
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from r1data.endpoint import on_loopback
from r1data.errors import ModelError, RecipeError, StageFailed
from r1data.runner import frame_of
from r1data.training_params import GrpoParams
from training import alarms
from training.best import Best
from training.checkpoint import commit_checkpoint
from training.collecting import Collected, Collector
from training.core import Trainer, start
from training.drift import Drift
from training.engine import Engine, InProcessEngine, ServerEngine
from training.grading import Grader, advantages_of, measures_of, penalised
from training.groups import Groups
from training.hf_engine import HfEngine
from training.job import Job, end, run
from training.keeper import Keeper
from training.loading import load_trained
from training.policy import PolicyStep
from training.prompts import Prompts
from training.reference import Reference
from training.rollouts_table import rollouts_table
from training.stopping import reason_to_stop
from training.tokens import encode, load_tokenizer
from training.transfer import Files


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
    model = load_trained(AutoModelForCausalLM, folder, params.optimizer)
    batch = params.prompts_per_step * params.group // params.updates_per_rollout
    updates = params.updates_per_rollout
    trainer = Trainer(
        model, params.optimizer, params.steps, batch, job.scratch, rank, world, updates, keeper=Keeper(job, rank)
    )
    reference = Reference(folder, params, trainer.device)
    reference.replace(trainer.resume())
    best = Best(trainer, params.keep)
    drift = Drift(job, params.drift, prompts, trainer)
    with closing(Collector(job, params, trainer, engine, prompts, grader, tokenizer)) as collector:
        while not (reason := reason_to_stop(trainer.metrics, params)):
            _step(collector, reference, drift)
            best.look()
            alarms.ring(trainer, params.alarms, reference.state())
    if rank == 0:
        print(f"stopped: {reason}", flush=True)
    best.restore()
    counts = best.counts() | collector.untrained()
    beside = {"rollouts.parquet": rollouts_table(job, params, prompts, trainer.step)} if rank == 0 else {}
    commit_checkpoint(job, trainer, tokenizer, prompts.probe_texts(), counts, beside, {"stopped": reason})
    engine.close()  # vLLM's ends the process group, by which sharded weights are gathered


def _step(collector: Collector, reference: Reference, drift: Drift) -> None:
    """One step: its rollouts, its updates, its end."""
    params, trainer = collector.params, collector.trainer
    found = collector.of_step(trainer.step)
    ids = encode(collector.tokenizer, [a.prompt for a in found.asks], end=False)
    told = _learn(PolicyStep(params, trainer, reference, ids, found.chosen), found, collector)
    told |= drift.look(found)
    if (trainer.step + 1) % params.reference_every == 0:
        reference.follow(trainer.engine)
    trainer.end_step(
        told,
        params.save_every,
        tokens=sum(len(s.token_ids) for s in found.chosen),
        waiting_s=collector.waiting_s(),
        lines=params.steps,
        extra=reference.state(),
    )


def _learn(policy: PolicyStep, found: Collected, collector: Collector) -> dict[str, float]:
    """The updates of one step, with its metrics."""
    params, step = collector.params, collector.trainer.step
    kl = {}
    try:
        if params.kl and params.kl_place == "reward":
            divergences = policy.kl_of_completions()
            collector.note_kl(step, found, divergences)
            kl = {"kl": sum(divergences) / sum(len(s.token_ids) for s in found.chosen)}
        told = policy.update(step, advantages_of(penalised(found.chosen, params), params)) | kl
    except ModelError as e:
        collector.forget(step)
        # rollouts of an earlier step's weights would be compared with log-probs under those, and named after them
        where = f"step {step + 1}, sampled with weights {collector.version(found.chosen[0].weights)}"
        raise StageFailed(f"{where}: {e.args[0]}", e.remedy) from e
    told |= {"staleness": found.staleness(step)} | found.measures(params)
    return measures_of(penalised(found.samples, params)) | told


def _engine(job: Job, params: GrpoParams, folder: Path, rank: int, world: int) -> Engine:
    """The servers of the command line, else vLLM or transformers in this process."""
    bucket_bytes = job.sync_bucket_mb << 20
    if job.endpoints:
        return ServerEngine(job.endpoints, rank, _way(job), bucket_bytes)
    if job.rollouts == "hf":
        return HfEngine(folder, params.optimizer.dtype, rank, world)
    return InProcessEngine(folder, params.optimizer.dtype, rank, world, bucket_bytes)


def _way(job: Job) -> Files | Groups:
    """How weights reach the servers."""
    near, over = [on_loopback(e.url) for e in job.endpoints], job.weights_over
    if over == "auto":  # one on this machine may share the trainer's GPU
        over = "nccl" if torch.cuda.is_available() and not any(near) else "files"
    if over == "nccl" and not torch.cuda.is_available():
        told = f"{job.node.name}: weights over NCCL, but this machine's trainer has no GPU"
        raise RecipeError(told, 'set [cluster] weights_over = "files" or "gloo"')
    return Files(job.scratch, shared=not all(near)) if over == "files" else Groups(over)


def _check(job: Job, params: GrpoParams) -> None:
    """What no run could end well with."""
    name = job.node.name
    if params.prompts_per_step * params.group % params.updates_per_rollout:
        raise RecipeError(
            f"{name}: {params.prompts_per_step} x {params.group} samples do not divide into "
            f"{params.updates_per_rollout} updates",
            "choose updates_per_rollout so that they do",
        )
    if params.max_staleness and not job.endpoints:
        raise RecipeError(
            f"{name}: max_staleness {params.max_staleness}, but rollouts are made in the training process, which waits "
            "for them",
            'set [cluster] rollouts = "server", or max_staleness = 0',
        )
    if params.group < 2:
        raise RecipeError(f"{name}: groups of {params.group} have nothing to compare with", "set group = 2 or more")
    if params.kl_estimator == "full" and params.optimizer.loss_chunk:
        raise RecipeError(
            f"{name}: kl_estimator full needs whole logits, optimizer.loss_chunk never has them", "set one of the two"
        )
    if params.top_p < 1:
        raise RecipeError(
            f"{name}: top_p {params.top_p}: log-probs of a cut distribution are not the policy's", "set top_p = 1"
        )


if __name__ == "__main__":
    end(run(train, GrpoParams))
