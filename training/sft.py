"""Supervised fine-tuning (cold start, the second SFT, distillation): loss on completions, cosine to a tenth.

python -m training.sft --recipe demo --node dev1 --lake ./lake
"""

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from r1data.errors import RecipeError
from r1data.runner import frame_of
from r1data.training_params import SftParams
from training.checkpoint import commit_checkpoint
from training.chunked import summed_loss
from training.core import Trainer, start
from training.job import Job, end, run
from training.keeper import Keeper
from training.loading import load_trained
from training.packing import attend_within, nothing, packed
from training.schedule import Rows, batch_size, steps_per_epoch
from training.supervised import train_supervised
from training.tokens import encode, labelled, load_tokenizer


def train(job: Job) -> None:
    """Epochs over the examples, from the weights of `init`."""
    params = job.node.params
    assert isinstance(params, SftParams), "checked when the job was opened"
    rank, world = start(params.seed)
    folder = job.model_folder("init")
    tokenizer = load_tokenizer(folder)
    examples = frame_of(job.lake, job.inputs["examples"]).sort("example_id")
    texts = examples["prompt"].to_list()
    batch = batch_size(len(texts), params.batch, world)
    prompts = encode(tokenizer, texts, end=False)
    whole = encode(tokenizer, examples["completion"].to_list(), end=True)
    longest = max(len(p) for p in prompts)
    if longest >= params.max_length:
        raise RecipeError(f"{job.node.name}: a prompt of {longest} tokens leaves no room", "raise max_length")
    completions = [c[: params.max_length - len(p)] for p, c in zip(prompts, whole, strict=True)]
    sizes = np.array([len(c) for c in completions])
    lengths = sizes + np.array([len(p) for p in prompts])
    steps = params.epochs * steps_per_epoch(len(prompts), batch)
    model = load_trained(AutoModelForCausalLM, folder, params.optimizer)
    if params.pack_tokens:
        attend_within(model)
    keeper, pack_tokens = Keeper(job, rank), params.pack_tokens
    trainer = Trainer(
        model, params.optimizer, steps, batch, job.scratch, rank, world, pack_tokens=pack_tokens, keeper=keeper
    )
    trainer.resume()
    chunk, device = params.optimizer.loss_chunk, trainer.device

    def part(micro: Rows, rows: Rows) -> torch.Tensor:
        chosen = [prompts[i] for i in micro], [completions[i] for i in micro]
        if params.pack_tokens:
            pack = packed(*chosen) if len(micro) else nothing()
            ids, labels, more = pack.ids, pack.labels, pack.inputs(device)
        else:
            (ids, labels), more = labelled(*chosen), {}
        loss = summed_loss(trainer.engine, ids.to(device), labels.to(device), chunk, **more)
        return loss / float(sizes[rows].sum())

    reason, counts = train_supervised(trainer, lengths, params, part)
    cut = sum(len(a) < len(b) for a, b in zip(completions, whole, strict=True))
    counts = {"cut_to_max_length": cut, **counts}
    commit_checkpoint(job, trainer, tokenizer, texts[:4], counts, labels={"stopped": reason})


if __name__ == "__main__":
    end(run(train, SftParams))
