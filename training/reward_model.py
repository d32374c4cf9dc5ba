"""Reward models (paper 3.1): a scalar head on the policy. `helpful` pairwise on the summary, `safe` point-wise on all.

python -m training.reward_model --recipe demo --node rm_helpful --lake ./lake
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from transformers import AutoModelForSequenceClassification

from r1data.errors import RecipeError
from r1data.runner import frame_of
from r1data.training_params import RewardModelParams
from training.checkpoint import commit_checkpoint
from training.core import Trainer, batch_at, load_model, start, steps_per_epoch
from training.job import Job, run
from training.losses import pairwise_loss, pointwise_loss
from training.tokens import PAD, encode, load_tokenizer, padded


def train(job: Job) -> None:
    """Train on four fifths, report the accuracy on the rest."""
    params = job.node.params
    assert isinstance(params, RewardModelParams), f"{job.node.name}: no reward model node"
    rank, world = start(params.seed)
    folder = job.model_folder("init")
    tokenizer = load_tokenizer(folder)
    rows = frame_of(job.lake, job.inputs["data"])
    first, second = texts_of(rows, params.target)
    good, bad = encode(tokenizer, first, end=True), encode(tokenizer, second, end=True)
    labels = torch.tensor(rows["safe"].to_list()).float() if params.target == "safe" else torch.ones(len(good))
    held = np.random.default_rng(params.seed).permutation(len(good))
    cut = int(len(good) * params.held_out)
    test, learn = held[:cut], held[cut:]
    if len(learn) < world:
        raise RecipeError(f"{job.node.name}: {len(good)} rows are too few to train on", "sample more responses")
    batch = min(params.batch, len(learn) // world * world)
    steps = params.epochs * steps_per_epoch(len(learn), batch)
    model = load_model(
        AutoModelForSequenceClassification, folder, params.optimizer.dtype, num_labels=1, pad_token_id=PAD
    )
    trainer = Trainer(model, params.optimizer, steps, batch, job.scratch, rank, world)
    trainer.resume()
    lengths = np.array([len(good[i]) for i in learn])
    while trainer.step < steps:
        rows_now = learn[batch_at(lengths, batch, params.seed, trainer.step)]
        total = 0.0
        for micro in trainer.mine(rows_now):
            loss = _loss(trainer.engine, params.target, good, bad, labels, micro) * len(micro) / len(rows_now)
            trainer.backward(loss)
            total += float(loss)
        trainer.record(loss=total)
        if trainer.step % params.save_every == 0:
            trainer.save()
    with torch.no_grad():
        trainer.metrics[-1]["held_out_accuracy"] = _accuracy(
            trainer.engine.module, params.target, good, bad, labels, test
        )
    if rank == 0:
        print(f"held-out accuracy {trainer.metrics[-1]['held_out_accuracy']:.3f} of {len(test)}", flush=True)
    commit_checkpoint(job, trainer, tokenizer, [], None)


def texts_of(rows: pl.DataFrame, target: str) -> tuple[list[str], list[str]]:
    """(chosen, rejected) with their prompt for `helpful`; (response, nothing) for `safe`."""
    if target == "safe":
        return (rows["prompt"] + rows["completion"]).to_list(), []
    return (rows["prompt"] + rows["chosen"]).to_list(), (rows["prompt"] + rows["rejected"]).to_list()


def scores(model: Any, sequences: list[list[int]]) -> torch.Tensor:
    """[rows] scalar scores, read at each sequence's last token."""
    ids = padded(sequences, PAD).to(model.device)
    found: torch.Tensor = model(input_ids=ids, attention_mask=(ids != PAD).long()).logits[:, 0]
    return found.float()


class RewardModel:
    """A committed reward model, ready to score prompt + text."""

    def __init__(self, folder: Path, dtype: str) -> None:
        self.tokenizer = load_tokenizer(folder)
        self.model = load_model(AutoModelForSequenceClassification, folder, dtype).eval()

    @torch.no_grad()
    def rewards(self, texts: list[str]) -> list[float]:
        """sigmoid(score) of each text, in [0, 1]."""
        found: list[float] = torch.sigmoid(scores(self.model, encode(self.tokenizer, texts, end=True))).tolist()
        return found


def _loss(
    model: Any, target: str, good: list[list[int]], bad: list[list[int]], labels: torch.Tensor, rows: Any
) -> torch.Tensor:
    if target == "safe":
        return pointwise_loss(scores(model, [good[i] for i in rows]), labels[rows].to(model.device))
    both = scores(model, [*(good[i] for i in rows), *(bad[i] for i in rows)])
    return pairwise_loss(both[: len(rows)], both[len(rows) :])


def _accuracy(
    model: Any, target: str, good: list[list[int]], bad: list[list[int]], labels: torch.Tensor, rows: Any
) -> float:
    if not len(rows):
        return 0.0
    if target == "safe":
        right = (scores(model, [good[i] for i in rows]) > 0).cpu() == labels[rows].bool()
    else:
        right = scores(model, [good[i] for i in rows]) > scores(model, [bad[i] for i in rows])
    return float(right.float().mean())


if __name__ == "__main__":
    sys.exit(run(train))
