"""One rank of the SFT comparison: TRL's loop runs, and after each of its updates ours trains on the same examples.

An update is, on both sides: collating, forward, backward, clipping, AdamW, the step's metrics. What TRL's update was
fed is split back into its examples, which ours sorts and pads, or packs, by itself.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from datasets import Dataset
from transformers import AutoModelForCausalLM, PrinterCallback, ProgressCallback
from trl import SFTConfig, SFTTrainer

from benchmarks.trl_peer.material import rollout
from benchmarks.trl_peer.turns import Stages, Turns, ratios
from r1data.training_params import OptimizerParams
from training.chunked import summed_loss
from training.core import Trainer, load_model, start
from training.packing import attend_within, nothing, packed, packs
from training.tokens import IGNORED, encode, labelled, load_tokenizer

EXAMPLES, MICRO, PARTS, ROOM, WARM, RATE = 32, 8, 2, 512, 1, 1e-5

Example = tuple[list[int], list[int]]  # prompt, completion


@dataclass(frozen=True)
class Setting:
    """`packed`: examples end to end in rows of ROOM tokens, on both sides; `chunk`: of our head."""

    name: str
    packed: bool
    chunk: int


SETTINGS = [
    Setting("padded", False, 0),
    Setting("packed", True, 0),
    Setting("packed, loss_chunk 512", True, 512),
]


class Ours:
    """Our side: what `training.sft` does with a batch."""

    def __init__(self, folder: Path, scratch: Path, setting: Setting, zero: int) -> None:
        rank, world = dist.get_rank(), dist.get_world_size()
        self.setting = setting
        model = load_model(AutoModelForCausalLM, folder, "float32")
        if setting.packed:
            attend_within(model)
        rate: dict[str, Any] = {"learning_rate": RATE, "final_fraction": 1.0, "warmup_steps": 0}
        params = OptimizerParams(**rate, micro_batch=MICRO, zero_stage=zero)  # type: ignore[arg-type]
        room = ROOM if setting.packed else 0
        self.trainer = Trainer(model, params, 10**6, EXAMPLES, scratch, rank, world, pack_tokens=room)

    def step(self, examples: list[Example]) -> dict[str, float]:
        """One update."""
        trainer, most = self.trainer, self.trainer.pack_tokens
        lengths = np.array([len(p) + len(c) for p, c in examples])
        rows = np.argsort(lengths, kind="stable")
        learnt, total = sum(len(c) for _, c in examples), torch.zeros(1)
        micros = packs(rows, lengths, most, trainer.world)[trainer.rank] if most else trainer.mine(rows)
        for i, micro in enumerate(micros, 1):
            chosen = [examples[r][0] for r in micro], [examples[r][1] for r in micro]
            if most:
                pack = packed(*chosen) if len(micro) else nothing()
                ids, labels, more = pack.ids, pack.labels, pack.inputs(trainer.device)
            else:
                (ids, labels), more = labelled(*chosen), {}
            loss = summed_loss(trainer.engine, ids, labels, self.setting.chunk, **more) / learnt
            trainer.backward(loss, i == len(micros) if most else None)
            total += loss.detach()
        (loss_now,) = trainer.total_over_ranks(total)
        told = {"loss": loss_now, "grad_norm": trainer.grad_norm()}
        trainer.end_step(told, 10**6, tokens=int(lengths.sum()), lines=1)
        return told


class Theirs(Turns):
    """What TRL was fed, so that ours learns from the same."""

    def __init__(self, ours: Ours) -> None:
        super().__init__()
        self.ours = ours
        self.fed, self.tokens, self.padding = list[dict[str, torch.Tensor]](), list[int](), list[int]()

    def watched(self, original: Any) -> Any:
        """TRL's loss, its inputs kept."""

        def loss(model: Any, inputs: dict[str, Any], *more: Any, **named: Any) -> Any:
            self.fed.append({k: v for k, v in inputs.items() if isinstance(v, torch.Tensor)})
            return original(model, inputs, *more, **named)

        return loss

    def turn(self, number: int) -> Callable[[], dict[str, float]]:
        """The examples of all ranks."""
        mine = [e for batch in self.fed for e in examples_of(batch)]
        every: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(every, (mine, sum(b["input_ids"].numel() for b in self.fed)))
        examples = [e for found, _ in every for e in found]
        self.tokens.append(sum(len(p) + len(c) for p, c in examples))
        self.padding.append(sum(n for _, n in every) - self.tokens[-1])
        self.fed.clear()
        return lambda: self.ours.step(examples)


def examples_of(batch: dict[str, torch.Tensor]) -> list[Example]:
    """The examples of what TRL's collator made."""
    if "attention_mask" in batch:
        kept = [m.bool() for m in batch["attention_mask"]]
        pieces = [(i[m], t[m]) for i, t, m in zip(batch["input_ids"], batch["labels"], kept, strict=True)]
    else:
        starts = torch.nonzero(batch["position_ids"][0] == 0).flatten().tolist()
        sizes = np.diff([*starts, batch["position_ids"].shape[1]]).tolist()
        pieces = list(
            zip(torch.split(batch["input_ids"][0], sizes), torch.split(batch["labels"][0], sizes), strict=True)
        )
    heads = [int((t == IGNORED).sum()) for _, t in pieces]
    return [(i[:n].tolist(), i[n:].tolist()) for (i, _), n in zip(pieces, heads, strict=True)]


def their_trainer(
    folder: Path, out: Path, setting: Setting, examples: list[Example], stages: Stages, steps: int
) -> Any:
    """TRL's trainer, on examples in random order."""
    rows = {"input_ids": [p + c for p, c in examples]}
    rows["completion_mask"] = [[0] * len(p) + [1] * len(c) for p, c in examples]
    made = SFTTrainer(
        str(folder),
        SFTConfig(
            output_dir=str(out),
            **{"use_cpu": True, "bf16": False, "report_to": [], "model_init_kwargs": {"dtype": "float32"}},
            **{"per_device_train_batch_size": 1 if setting.packed else MICRO, "gradient_accumulation_steps": PARTS},
            **{"packing": setting.packed, "max_length": ROOM, "completion_only_loss": True, "max_steps": steps},
            **{"learning_rate": RATE, "lr_scheduler_type": "constant", "adam_beta2": 0.95, "max_grad_norm": 1.0},
            **{"logging_steps": 1, "save_strategy": "no", "disable_tqdm": True, "gradient_checkpointing": False},
            **{**stages.for_trl(), "dataloader_pin_memory": False},
        ),
        train_dataset=Dataset.from_dict(rows),
        processing_class=load_tokenizer(folder),
    )
    for kind in (PrinterCallback, ProgressCallback):
        made.remove_callback(kind)
    return made


def compared(folder: Path, scratch: Path, setting: Setting, stages: Stages, steps: int) -> dict[str, Any]:
    """Both sides of a setting, turn by turn."""
    ours = Ours(folder, scratch / "ours", setting, stages.ours)
    tokenizer = load_tokenizer(folder)
    examples = []
    for s in range(2 * (steps + WARM)):
        asks, samples = rollout(tokenizer, s, EXAMPLES // 4, 4, True)
        prompts = encode(tokenizer, [a.prompt for a in asks], end=False)
        examples += [(prompts[s.ask], s.token_ids) for s in samples]
    theirs = their_trainer(folder, scratch / "trl", setting, examples, stages, steps + WARM)
    turns = Theirs(ours)
    theirs.add_callback(turns)
    theirs.compute_loss = turns.watched(theirs.compute_loss)
    theirs.train()
    pairs = list(zip(turns.told, turns.logged, strict=True))
    tokens = turns.tokens[WARM:]
    rates = {
        f"tokens/s {side} ({name})": round(sum(tokens) / sum(seconds[side][WARM:]))
        for name, seconds in (("wall", turns.clock.wall), ("CPU", turns.clock.cpu))
        for side in ("ours", "trl")
    }
    apart = {
        "TRL's padding": f"{sum(turns.padding) / (sum(turns.padding) + sum(turns.tokens)):.0%}",
        "last loss ours, TRL": "{loss:.7f}, ".format(**pairs[-1][0]) + "{loss:.7f}".format(**pairs[-1][1]),
        "loss differs": max(abs(o["loss"] - t["loss"]) for o, t in pairs),
        "gradient norm differs": max(abs(o["grad_norm"] / t["grad_norm"] - 1) for o, t in pairs),
    }
    return {**asdict(setting), **ratios(turns.clock, WARM), **rates, **apart}


def main(folder: str, scratch: str, steps: str, zero: str, trl_zero: str, *which: str) -> None:
    """All settings, or those numbered; rank 0 prints a line of JSON for each."""
    rank, _ = start(0)
    stages = Stages(int(zero), int(trl_zero))
    for i in [int(w) for w in which] or range(len(SETTINGS)):
        found = compared(Path(folder), Path(scratch) / str(i), SETTINGS[i], stages, int(steps))
        if rank == 0:
            print("FOUND " + json.dumps({**found, "name": f"{found['name']}; {stages}"}), flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
