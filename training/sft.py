"""Supervised fine-tuning (cold start, the second SFT, distillation): loss on completions, cosine to a tenth.

python -m training.sft --recipe demo --node dev1 --lake ./lake
"""

import sys

import numpy as np
import torch
import torch.distributed as dist
from transformers import AutoModelForCausalLM

from r1data.runner import frame_of
from r1data.training_params import SftParams
from training.checkpoint import commit_checkpoint
from training.core import Trainer, batch_at, load_model, start, steps_per_epoch
from training.job import Job, run
from training.losses import completion_loss
from training.tokens import encode, labelled, load_tokenizer


def train(job: Job) -> None:
    """Epochs over the examples, from the weights of `init`."""
    params = job.node.params
    assert isinstance(params, SftParams), f"{job.node.name}: no SFT node"
    rank, world = start(params.seed)
    folder = job.model_folder("init")
    tokenizer = load_tokenizer(folder)
    examples = frame_of(job.lake, job.inputs["examples"]).sort("example_id")
    prompts = encode(tokenizer, examples["prompt"].to_list(), end=False)
    completions = encode(tokenizer, examples["completion"].to_list(), end=True)
    lengths = np.array([min(len(p) + len(c), params.max_length) for p, c in zip(prompts, completions, strict=True)])
    batch = min(params.batch, len(prompts) // world * world)
    steps = params.epochs * steps_per_epoch(len(prompts), batch)
    model = load_model(AutoModelForCausalLM, folder, params.optimizer.dtype)
    trainer = Trainer(model, params.optimizer, steps, batch, job.scratch, rank, world)
    trainer.resume()
    while trainer.step < steps:
        rows = batch_at(lengths, batch, params.seed, trainer.step)
        count = float(sum(len(completions[i]) for i in rows))
        total = torch.zeros(1)
        for micro in trainer.mine(rows):
            inputs, labels = labelled([prompts[i] for i in micro], [completions[i] for i in micro])
            inputs, labels = inputs[:, : params.max_length], labels[:, : params.max_length]
            logits = trainer.engine(input_ids=inputs.to(trainer.device)).logits
            loss = completion_loss(logits, labels.to(trainer.device)) / count
            trainer.backward(loss)
            total += loss.detach().cpu()
        if world > 1:
            dist.all_reduce(total)
        trainer.record(loss=float(total))
        if trainer.step % params.save_every == 0:
            trainer.save()
    commit_checkpoint(job, trainer, tokenizer, examples["prompt"].to_list()[:4], None)


if __name__ == "__main__":
    sys.exit(run(train))
