"""The steps of pre-training, fine-tuning and reward models: batches of rows, an update each, and when they end."""

from collections.abc import Callable

import torch

from r1data.training_params import SupervisedParams
from training.best import Best
from training.core import Trainer
from training.packing import packs
from training.schedule import Rows, batches
from training.stopping import diverged


def train_supervised(
    trainer: Trainer,
    lengths: Rows,
    params: SupervisedParams,
    part: Callable[[Rows, Rows], torch.Tensor],
    held_out: Callable[[], dict[str, float]] | None = None,
) -> tuple[str, dict[str, int]]:
    """All steps that are left; the model then has the weights to keep. Returns why it ended, and `Best.counts`.

    Args:
        lengths: [rows] tokens of each.
        params: batches, seed and rules of the stage.
        part: of (micro, rows), a micro-batch's part of the loss of its batch. With `trainer.pack_tokens` a micro-batch
            is a pack, which may be empty: other ranks have one more.
        held_out: metrics of the weights as they are, asked where the best ones are kept at the end of a row of steps.
    """
    best, most = Best(trainer, params.keep), trainer.pack_tokens
    for rows in batches(lengths, trainer.batch, params.seed, trainer.step, trainer.total):
        if diverged(trainer.metrics, params):
            break
        total = torch.zeros(1)
        micros = packs(rows, lengths, most, trainer.world)[trainer.rank] if most else trainer.mine(rows)
        for i, micro in enumerate(micros, 1):
            loss = part(micro, rows)
            trainer.backward(loss, i == len(micros) if most else None)
            total += loss.detach().cpu()
        (loss_now,) = trainer.total_over_ranks(total)
        told = {"loss": loss_now, "grad_norm": trainer.grad_norm()}
        if held_out is not None and best.due(trainer.step + 1):
            told |= _of_first_rank(held_out(), trainer)
        trainer.end_step(told, params.save_every, tokens=int(lengths[rows].sum()))
        best.look()
    reason = diverged(trainer.metrics, params) or f"steps: all {trainer.total}"
    if trainer.rank == 0:
        print(f"stopped: {reason}", flush=True)
    best.restore()
    return reason, best.counts()


def _of_first_rank(told: dict[str, float], trainer: Trainer) -> dict[str, float]:
    """The same values on every rank, to the last bit: they decide together which weights are the best."""
    values = torch.tensor(list(told.values()), dtype=torch.double)
    return dict(
        zip(told, trainer.total_over_ranks(values if trainer.rank == 0 else torch.zeros_like(values)), strict=True)
    )
