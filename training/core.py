"""The training core that all mains share: a DeepSpeed engine, its schedule, exact save and resume, metrics by step."""

import json
import math
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import deepspeed
import numpy as np
import torch
import torch.distributed as dist

from r1data.errors import ModelError, RecipeError, StageFailed, boundary
from r1data.training_params import OptimizerParams

KEPT_STATES = 2


def start(seed: int) -> tuple[int, int]:
    """Join the process group (alone without torchrun) and seed; returns (rank, world size)."""
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1"}.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("MASTER_PORT", str(20_000 + os.getpid() % 40_000))
    if not dist.is_initialized():
        # ours before DeepSpeed's: its own passes a device id, which hangs with a second group
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    deepspeed.init_distributed(verbose=False)
    torch.manual_seed(seed)
    return dist.get_rank(), dist.get_world_size()


def learning_rate(params: OptimizerParams, step: int, total: int) -> float:
    """Linear warm-up, then cosine to `final_fraction` of the rate at the last step (paper B.4.2)."""
    warm = min(1.0, (step + 1) / max(1, params.warmup_steps))
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, total))))
    return params.learning_rate * warm * (params.final_fraction + (1 - params.final_fraction) * cosine)


@dataclass
class Trainer:
    """A model under DeepSpeed with its schedule, its saved states and its metrics."""

    model: Any
    params: OptimizerParams
    total: int
    batch: int
    scratch: Path
    rank: int
    world: int
    step: int = 0
    metrics: list[dict[str, float]] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        per_rank = self.batch // self.world
        self.micro = min(self.params.micro_batch, per_rank)
        if per_rank * self.world != self.batch or per_rank % self.micro:
            raise RecipeError(
                f"batch {self.batch} does not divide over {self.world} ranks in micro-batches of {self.micro}",
                "choose optimizer.micro_batch, batch and [cluster] ranks so that they divide",
            )
        self.accumulation = per_rank // self.micro
        optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=self.params.learning_rate,
            betas=(0.9, self.params.beta2),
            weight_decay=self.params.weight_decay,
        )
        self.engine, *_ = deepspeed.initialize(model=self.model, optimizer=optimizer, config=self._config())

    def _config(self) -> dict[str, Any]:
        return {
            "train_micro_batch_size_per_gpu": self.micro,
            "gradient_accumulation_steps": self.accumulation,
            "gradient_clipping": self.params.clip_grad,
            "bf16": {"enabled": self.params.dtype == "bfloat16"},
            "zero_allow_untested_optimizer": True,
            "zero_optimization": {"stage": self.params.zero_stage, "overlap_comm": False},
            "steps_per_print": 10**9,
        }

    @property
    def device(self) -> torch.device:
        """Where batches go."""
        return torch.device(self.engine.device)

    def mine(self, rows: "np.ndarray[Any, Any]") -> list["np.ndarray[Any, Any]"]:
        """This rank's share of a global batch, in micro-batches."""
        share = rows[self.rank :: self.world]
        return [share[i : i + self.micro] for i in range(0, len(share), self.micro)]

    def backward(self, loss: torch.Tensor) -> None:
        """Accumulate the gradient of this rank's part of a loss whose parts sum to the global loss; step at the end."""
        if not torch.isfinite(loss):
            raise StageFailed(
                f"step {self.step + 1}: the loss is {loss.item()}",
                f"lower the learning rate or look at the batch; the last saved state is kept in {self.scratch}",
            )
        for group in self.engine.optimizer.param_groups:
            group["lr"] = learning_rate(self.params, self.step, self.total)
        self.engine.backward(loss * self.world * self.accumulation)
        self.engine.step()

    def record(self, **values: float) -> None:
        """One step's metrics, and a line of progress."""
        self.step += 1
        self.metrics.append({"step": self.step, "elapsed_s": time.monotonic() - self.started, **values})
        if self.rank == 0 and (self.step % max(1, self.total // 20) == 0 or self.step in (1, self.total)):
            told = " ".join(f"{k} {v:.4g}" for k, v in values.items())
            print(f"step {self.step}/{self.total} {told}", flush=True)

    def save(self) -> None:
        """Save everything that a resumed run needs: beside, then renamed; the last two are kept."""
        final = self.scratch / f"state-{self.step:07d}"
        beside = self.scratch / f".state-{self.step:07d}"
        told = {"step": self.step, "metrics": json.dumps(self.metrics)}
        self.engine.save_checkpoint(str(beside), tag="state", client_state=told, save_latest=False)
        dist.barrier()
        if self.rank == 0:
            shutil.rmtree(final, ignore_errors=True)
            beside.rename(final)
            for old in self._states()[:-KEPT_STATES]:
                shutil.rmtree(old)
        dist.barrier()

    def resume(self) -> None:
        """Continue from the last saved state, if there is one."""
        states = self._states()
        if not states:
            return
        with boundary(
            StageFailed, f"{states[-1]}: saved state does not load", "delete that folder: an older one is used"
        ):
            _, told = self.engine.load_checkpoint(str(states[-1]), tag="state")
        self.step = int(told["step"])
        self.metrics = json.loads(told["metrics"])
        if self.rank == 0:
            print(f"resumed at step {self.step}", flush=True)

    def _states(self) -> list[Path]:
        return sorted(self.scratch.glob("state-*"))

    def named_weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Every parameter whole, by name; collective under ZeRO-3."""
        for name, parameter in self.engine.module.named_parameters():
            whole = deepspeed.zero.GatheredParameters([parameter]) if hasattr(parameter, "ds_id") else nullcontext()
            with whole:
                yield name, parameter.detach().clone()


def load_model(kind: Any, folder: Path, dtype: str, **options: Any) -> Any:
    """A transformers model of a folder; `ModelError` names the folder if it is none."""
    missing = [n for n in ("config.json", "model.safetensors") if not (folder / n).is_file()]
    if missing:
        raise ModelError(f"{folder} is no model folder: no {', '.join(missing)}", "give a folder of safetensors")
    with boundary(ModelError, f"{folder}: not loadable", "weights and config.json must belong together"):
        return kind.from_pretrained(str(folder), dtype=getattr(torch, dtype), **options)


def epoch_batches(lengths: "np.ndarray[Any, Any]", batch: int, seed: int, epoch: int) -> list["np.ndarray[Any, Any]"]:
    """A seeded order of an epoch in batches of rows of like length; the last, short one is left for the next epoch."""
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(lengths))
    pool = batch * 8
    batches = []
    for i in range(0, len(order), pool):
        rows = order[i : i + pool]
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        batches += [rows[j : j + batch] for j in range(0, len(rows) - batch + 1, batch)]
    return [batches[i] for i in rng.permutation(len(batches))]


def batch_at(lengths: "np.ndarray[Any, Any]", batch: int, seed: int, step: int) -> "np.ndarray[Any, Any]":
    """The rows of a step, from its number alone."""
    per_epoch = steps_per_epoch(len(lengths), batch)
    return epoch_batches(lengths, batch, seed, step // per_epoch)[step % per_epoch]


def steps_per_epoch(rows: int, batch: int) -> int:
    """Whole batches in an epoch; `RecipeError` if there is none."""
    pool = batch * 8
    steps = rows // pool * 8 + rows % pool // batch
    if steps == 0:
        raise RecipeError(f"{rows} rows are less than one batch of {batch}", "more data or a smaller batch")
    return steps
