"""The training core that all mains share: a DeepSpeed engine, exact save and resume, metrics by step.

Losses are parts of one global loss: what all ranks and micro-batches hand to `backward` sums to it.
"""

import datetime as dt
import json
import math
import os
import resource
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import deepspeed
import torch
import torch.distributed as dist

from r1data.errors import ModelError, RecipeError, StageFailed, StorageError, boundary
from r1data.sizing import BUCKET
from r1data.training_params import OptimizerParams
from training import states
from training.builds import free_abandoned_locks
from training.job import Stopped
from training.keeper import Keeper
from training.schedule import Rows, learning_rate

Weights = dict[str, torch.Tensor]
BELONG = "weights and config.json must belong together"
NO_ROOM = "make room there (a state takes about three times the model) and run again from the last saved state"
SHOWN = 4
FRESH = "score.weight"  # the head that a reward model gets here
LEFT = ("lm_head.weight",)  # and the one that it has no use for
PATIENCE = dt.timedelta(hours=2)  # ranks wait for rank 0's rollouts; if one dies torchrun ends the others
VOLATILE = ("elapsed_s", "step_seconds", "memory_mb", "tokens_per_second", "waiting_s")


def start(seed: int) -> tuple[int, int]:
    """Join the process group (alone without torchrun) and seed; returns (rank, world size)."""
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}.items():
        os.environ.setdefault(name, value)
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    if not dist.is_initialized():
        # ours before DeepSpeed's: its own passes a device id, which hangs with a second group
        if "MASTER_ADDR" in os.environ:
            dist.init_process_group(backend, timeout=PATIENCE)
        else:  # alone, it needs no port
            store = dist.HashStore()  # type: ignore[attr-defined]
            dist.init_process_group(backend, store=store, rank=0, world_size=1)
    free_abandoned_locks()
    deepspeed.init_distributed(verbose=False)
    torch.manual_seed(seed)
    return dist.get_rank(), dist.get_world_size()


@dataclass
class Trainer:
    """A model under DeepSpeed with its schedule, its saved states and its metrics; `batch` sequences an update."""

    model: Any
    params: OptimizerParams
    total: int
    batch: int
    scratch: Path
    rank: int
    world: int
    updates_per_step: int = 1
    pack_tokens: int = 0
    step: int = 0
    keeper: Keeper | None = None
    before_save: Callable[[], None] | None = None
    norm: float = 0.0
    metrics: list[dict[str, float]] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        per_rank = self.batch // self.world
        self.micro = max(1, min(self.params.micro_batch, per_rank))
        if not per_rank or per_rank * self.world != self.batch or per_rank % self.micro:
            raise RecipeError(
                f"batch {self.batch} does not divide over {self.world} ranks in micro-batches of {self.micro}",
                "choose optimizer.micro_batch, batch and [cluster] ranks so that they divide",
            )
        # packs differ in number from step to step: `backward` is told which is the last
        self.accumulation = 1 if self.pack_tokens else per_rank // self.micro
        if self.params.gradient_checkpointing:
            self.model.train()  # layers of transformers do it in training mode only
            self.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        self.asked_to_stop = False
        optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=self.params.learning_rate,
            betas=(0.9, self.params.beta2),
            weight_decay=self.params.weight_decay,
            fused=not torch.cuda.is_available(),  # on CPU the usual one takes five times as long
        )
        self.engine, *_ = deepspeed.initialize(model=self.model, optimizer=optimizer, config=self._config())

    def _config(self) -> dict[str, Any]:
        return {
            "train_micro_batch_size_per_gpu": self.micro,
            "gradient_accumulation_steps": self.accumulation,
            "gradient_clipping": self.params.clip_grad,
            "bf16": {"enabled": self.params.dtype == "bfloat16"},
            "zero_allow_untested_optimizer": True,
            "zero_optimization": {"stage": self.params.zero_stage, "overlap_comm": False, **self._exchange()},
            "steps_per_print": 10**9,
        }

    def _exchange(self) -> dict[str, Any]:
        """How ZeRO-1 and 2 exchange gradients, with fewer copies than by default; ZeRO-3 does it in its own way."""
        if self.params.zero_stage == 3:
            return {}
        # it is made anew for every backward pass, and its pages with it
        bucket = min(BUCKET, sum(p.numel() for p in self.model.parameters()))
        # `reduce_scatter` is an all-reduce too, of a copy of the bucket
        return {"reduce_bucket_size": bucket, "reduce_scatter": False}

    @property
    def device(self) -> torch.device:
        """Where batches go."""
        return torch.device(self.engine.device)

    def mine(self, rows: Rows) -> list[Rows]:
        """This rank's share of a global batch of rows, in micro-batches; see `packs` for packed ones."""
        share = rows[self.rank :: self.world]
        return [share[i : i + self.micro] for i in range(0, len(share), self.micro)]

    def backward(self, loss: torch.Tensor, last: bool | None = None) -> None:
        """Accumulate the gradient of a part of the global loss; the last part of an update changes the weights.

        Which one is the last is counted, or said where parts differ in number.
        """
        if not torch.isfinite(loss):
            raise StageFailed(f"step {self.step + 1}: the loss is {loss.item()}", self._remedy())
        rate = learning_rate(self.params, self.engine.global_steps, self.total * self.updates_per_step)
        for group in self.engine.optimizer.param_groups:
            group["lr"] = rate
        if last is not None:
            self.engine.set_gradient_accumulation_boundary(last)
        self.engine.backward(loss * self.world * self.accumulation)
        if self.params.zero_stage == 0 and self.engine.is_gradient_accumulation_boundary():
            self.norm = float(
                torch.nn.utils.get_total_norm([p.grad for p in self.model.parameters() if p.grad is not None])
            )
        self.engine.step()

    def grad_norm(self) -> float:
        """The gradient's norm at the last update, before clipping."""
        # DeepSpeed tells none without ZeRO
        norm = self.norm if self.params.zero_stage == 0 else float(self.engine.get_global_grad_norm() or 0.0)
        if not math.isfinite(norm):
            raise StageFailed(f"step {self.step + 1}: the gradient's norm is {norm}", self._remedy())
        return norm

    def _remedy(self) -> str:
        return f"lower the learning rate or look at the batch; the last saved state is kept in {self.scratch}"

    def end_step(
        self,
        values: dict[str, float],
        save_every: int,
        *,
        tokens: int = 0,
        waiting_s: float | None = None,
        lines: int = 20,
        extra: Weights | None = None,
    ) -> None:
        """Record a step's metrics, tell them (about `lines` times a run), save when due or when SIGTERM came.

        `tokens`: what the step trained on, over all ranks; `waiting_s`: how long it waited for that.
        """
        self.step += 1
        cost = self._cost(tokens) | ({} if waiting_s is None else {"waiting_s": waiting_s})
        self.metrics.append({"step": self.step, **values, **cost})
        if self.keeper is not None:
            self.keeper.measured(self.step, values | cost)
        last = self.step == self.total
        if self.rank == 0 and (self.step % max(1, self.total // lines) == 0 or self.step == 1 or last):
            told = " ".join(f"{k} {v:.4g}" for k, v in values.items())
            print(f"step {self.step}/{self.total} {told}", flush=True)
        stop = self._stop_everywhere()
        if stop or last or self.step % save_every == 0:
            self.save(extra)
        if stop:
            if self.keeper is not None:
                self.keeper.wait()  # this machine may be about to go
            raise Stopped

    def _cost(self, tokens: int) -> dict[str, float]:
        """Time and memory of this rank so far: what no two runs have in common (`VOLATILE`)."""
        elapsed = time.monotonic() - self.started
        seconds = max(1e-9, elapsed - (self.metrics[-1]["elapsed_s"] if self.metrics else 0.0))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
        if torch.cuda.is_available():
            peak = torch.cuda.max_memory_allocated()
        cost = {"elapsed_s": elapsed, "step_seconds": seconds, "memory_mb": peak / 1e6}
        return cost | ({"tokens_per_second": tokens / seconds} if tokens else {})

    def _stop_everywhere(self) -> bool:
        if self.world == 1:
            return self.asked_to_stop
        asked = torch.tensor([float(self.asked_to_stop)], device=self.device)
        dist.all_reduce(asked)
        return float(asked) > 0

    def save(self, extra: Weights | None = None) -> None:
        """Save everything that a resumed run needs after `before_save`; collective.

        `extra` tensors too, under ZeRO-3 each rank's own.
        """
        if self.before_save is not None:
            self.before_save()
        final = states.folder_of(self.scratch, self.step)
        beside = final.with_name(f".{final.name}")
        if self.rank == 0:
            shutil.rmtree(beside, ignore_errors=True)
        dist.barrier()
        told = {"step": self.step, "metrics": json.dumps(self.metrics)}
        with boundary(StorageError, f"{final}: training state could not be saved", NO_ROOM):
            self.engine.save_checkpoint(str(beside), tag="state", client_state=told, save_latest=False)
            if extra is not None and (self.rank == 0 or self.params.zero_stage == 3):
                own = {name: tensor.to("cpu", copy=True) for name, tensor in extra.items()}  # no view drags its storage
                torch.save(own, beside / self._extra_file())
            dist.barrier()
            if self.rank == 0:
                states.publish(beside, final)
        if self.keeper is not None:
            self.keeper.saved(final)
        dist.barrier()

    def resume(self) -> Weights | None:
        """Continue from the last whole state, if there is one, and return its extra tensors.

        From here SIGTERM ends the run after the step in progress, its state saved.
        """
        signal.signal(signal.SIGTERM, self._ask_to_stop)
        if self.keeper is not None:
            self.keeper.fetch()
        state = states.last_whole(self.scratch)
        if state is None:
            return None
        remedy = "delete that folder: an older state or the beginning is used; ranks must be as many as before"
        with boundary(StageFailed, f"{state}: saved state does not load", remedy):
            _, told = self.engine.load_checkpoint(str(state), tag="state")
        self.step = int(told["step"])
        self.metrics = json.loads(told["metrics"])
        self.started -= self.metrics[-1]["elapsed_s"]
        if self.rank == 0:
            print(f"resumed at step {self.step}", flush=True)
        names = (self._extra_file(), "extra.pt")  # before references were sharded, there was one file of whole tensors
        path = next((state / n for n in names if (state / n).exists()), None)
        extra: Weights | None = torch.load(path, mmap=True) if path else None
        return extra

    def _extra_file(self) -> str:
        return f"extra-{self.rank:05d}.pt" if self.params.zero_stage == 3 else "extra.pt"

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        self.asked_to_stop = True

    def named_weights(self, device: str = "cpu") -> Iterator[tuple[str, torch.Tensor]]:
        """A copy of every parameter, whole, by name; collective under ZeRO-3."""
        for name, parameter in self.engine.module.named_parameters():
            whole = deepspeed.zero.GatheredParameters([parameter]) if hasattr(parameter, "ds_id") else nullcontext()
            with whole:
                yield name, parameter.detach().to(device, copy=True)

    def gathered(self) -> Weights:
        """All of `named_weights` on rank 0; other ranks help and keep nothing."""
        return {name: tensor for name, tensor in self.named_weights() if self.rank == 0}

    def total_over_ranks(self, values: torch.Tensor) -> list[float]:
        """Sums of values over all ranks."""
        values = values.to(self.device)
        if self.world > 1:
            dist.all_reduce(values)
        found: list[float] = values.tolist()
        return found


def load_model(kind: Any, folder: Path, dtype: str, **options: Any) -> Any:
    """A transformers model of a folder, in a dtype; `ModelError` where its tensors are not those of its config."""
    with boundary(ModelError, f"{folder}: not loadable", BELONG):
        model, told = kind.from_pretrained(
            str(folder),
            dtype=getattr(torch, dtype),
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # told below, every one of them
            **options,
        )
    wrong = list(_differences(model, told))
    if wrong:
        more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        raise ModelError(f"{folder}: weights that do not match config.json: {'; '.join(wrong[:SHOWN])}{more}", BELONG)
    return model


def _differences(model: Any, told: dict[str, Any]) -> Iterator[str]:
    """What transformers would have passed over, in words."""
    head = hasattr(model, "score")
    shapes = {name: tuple(p.shape) for name, p in model.state_dict().items()}
    for name, found, wanted in sorted(told["mismatched_keys"]):
        yield f"{name} has the shape {tuple(found)}, the config says {tuple(wanted)}"
    for name in sorted(told["missing_keys"]):
        if not (head and name == FRESH):
            yield f"{name} {shapes.get(name, '')} is missing"
    for name in sorted(told["unexpected_keys"]):
        if not (head and name in LEFT):
            yield f"{name} is no tensor of this config"
