"""Reward models (paper 3.1): a scalar head on the policy. `helpful` pairwise on the summary, `safe` point-wise on all.

python -m training.reward_model --recipe demo --node rm_helpful --lake ./lake
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import torch
from transformers import AutoModelForSequenceClassification

from r1data.runner import frame_of
from r1data.training_params import RewardModelParams
from training.calibration import Predictions
from training.checkpoint import commit_checkpoint
from training.core import Trainer, load_model, start
from training.job import Job, end, run
from training.keeper import Keeper
from training.loading import load_trained
from training.losses import pairwise_loss, pointwise_loss
from training.schedule import Rows, batch_size, steps_per_epoch
from training.supervised import train_supervised
from training.tokens import PAD, encode, load_tokenizer, padded

SCORED_AT_ONCE = 64


@dataclass(frozen=True)
class Judged:
    """Token ids of chosen and rejected responses (`helpful`), or of responses with labels (`safe`)."""

    good: list[list[int]]
    bad: list[list[int]]
    labels: torch.Tensor

    def loss(self, model: Any, rows: Rows) -> torch.Tensor:
        """The mean loss of rows: pairwise where there are rejected ones, else point-wise."""
        if not self.bad:
            return pointwise_loss(scores(model, [self.good[i] for i in rows]), self.labels[rows].to(model.device))
        both = scores(model, [*(self.good[i] for i in rows), *(self.bad[i] for i in rows)])
        return pairwise_loss(both[: len(rows)], both[len(rows) :])

    @torch.no_grad()
    def margins(self, model: Any, rows: Rows) -> Rows:
        """[rows] score of the chosen response over the rejected one's, or a response's score."""
        found = []
        for i in range(0, len(rows), SCORED_AT_ONCE):
            part = rows[i : i + SCORED_AT_ONCE]
            score = scores(model, [self.good[j] for j in part]).cpu()
            if self.bad:
                score = score - scores(model, [self.bad[j] for j in part]).cpu()
            found.append(score.double())
        return torch.cat(found).numpy()


def train(job: Job) -> None:
    """Train on most problems, report the accuracy on those held out."""
    params = job.node.params
    assert isinstance(params, RewardModelParams), "checked when the job was opened"
    rank, world = start(params.seed)
    folder = job.model_folder("init")
    tokenizer = load_tokenizer(folder)
    rows = frame_of(job.lake, job.inputs["data"])
    judged = judged_rows(rows, params, tokenizer)
    learn, test = split_by_problem(rows["problem_id"].to_list(), params)
    batch = batch_size(len(learn), params.batch, world)
    steps = params.epochs * steps_per_epoch(len(learn), batch)
    options = {"num_labels": 1, "pad_token_id": PAD}
    model = load_trained(AutoModelForSequenceClassification, folder, params.optimizer, **options)
    trainer = Trainer(model, params.optimizer, steps, batch, job.scratch, rank, world, keeper=Keeper(job, rank))
    trainer.resume()
    lengths = np.array([len(judged.good[i]) for i in learn])

    def part(micro: Rows, batch_rows: Rows) -> torch.Tensor:
        return judged.loss(trainer.engine, learn[micro]) * len(micro) / len(batch_rows)

    def measured() -> dict[str, float]:
        return held_out(judged, trainer.engine, test)[0]

    reason, kept = train_supervised(trainer, lengths, params, part, measured if len(test) else None)
    counts = {"rows_trained_on": len(learn), "rows_held_out": len(test), **kept}
    tables: dict[str, pa.Table] = {}
    if len(test):
        told, predictions = held_out(judged, trainer.engine, test)
        trainer.metrics[-1] |= told
        tables["calibration.parquet"] = predictions.table(job.node.name)
        if rank == 0:
            values = " ".join(f"{name.removeprefix('held_out_')} {v:.3f}" for name, v in told.items())
            print(f"of {len(test)} rows held out: {values}", flush=True)
    commit_checkpoint(job, trainer, tokenizer, [], counts, tables, {"stopped": reason})


def judged_rows(rows: pl.DataFrame, params: RewardModelParams, tokenizer: Any) -> Judged:
    """Prompt + response of every row, its last `max_length` tokens: the score is read at the end."""

    def ids(column: str) -> list[list[int]]:
        return [t[-params.max_length :] for t in encode(tokenizer, (rows["prompt"] + rows[column]).to_list(), end=True)]

    if params.target == "safe":
        return Judged(ids("completion"), [], torch.tensor(rows["safe"].to_list()).float())
    return Judged(ids("chosen"), ids("rejected"), torch.ones(rows.height))


def split_by_problem(problems: list[str], params: RewardModelParams) -> tuple[Rows, Rows]:
    """(rows to learn from, rows held out): no problem is in both."""
    names = sorted(set(problems))
    order = np.random.default_rng(params.seed).permutation(len(names))
    held = {names[i] for i in order[: int(len(names) * params.held_out)]}
    is_held = np.array([p in held for p in problems], dtype=bool)
    return np.flatnonzero(~is_held), np.flatnonzero(is_held)


def held_out(judged: Judged, model: Any, test: Rows) -> tuple[dict[str, float], Predictions]:
    """Accuracy on rows held out, what always giving the commoner label would get, and calibration."""
    margins, labels = judged.margins(model, test), judged.labels[test].numpy()
    share = float(labels.mean())
    common = 0.5 if judged.bad else max(share, 1 - share)
    right = (margins > 0) == (labels > 0.5)
    probability = 1 / (1 + np.exp(-margins))
    predictions = Predictions(probability, labels)
    if judged.bad:  # all labels are 1: asked is how often its confidence in either side is right
        predictions = Predictions(np.maximum(probability, 1 - probability), right.astype(float), least=0.5)
    told = {"held_out_accuracy": float(right.mean()), "held_out_majority": common}
    return told | predictions.metrics(), predictions


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
        self.longest = int(self.model.config.max_position_embeddings)

    @torch.no_grad()
    def rewards(self, texts: list[str]) -> list[float]:
        """sigmoid(score) of each text, in [0, 1]."""
        ids = [t[-self.longest :] for t in encode(self.tokenizer, texts, end=True)]
        found: list[float] = []
        for i in range(0, len(ids), SCORED_AT_ONCE):
            found += torch.sigmoid(scores(self.model, ids[i : i + SCORED_AT_ONCE])).tolist()
        return found


if __name__ == "__main__":
    end(run(train, RewardModelParams))
