"""One rank of the GRPO comparison: TRL's loop runs, and after each of its rollouts ours takes the same step.

A step is, on both sides: decode and grade the recorded completions, log-probs of the reference (KL) and of the policy
before the updates where they are needed, forward, backward, clipping, AdamW, the step's metrics. Generation and the
weights' way to the engine are in neither; ours writes the rollout down too, as a run does.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from datasets import Dataset
from transformers import AutoModelForCausalLM, PrinterCallback, ProgressCallback
from trl import GRPOConfig, GRPOTrainer
from trl.trainer import grpo_trainer

from benchmarks.trl_peer.material import LONGEST, TEMPERATURE, engine_logprobs, rewards, rollout
from benchmarks.trl_peer.turns import Stages, Turns, ratios
from r1data.training_params import GrpoParams
from training.core import Trainer, load_model, start
from training.grading import advantages_of, measures_of
from training.policy import PolicyStep
from training.reference import Reference
from training.rollout import Ask, Sample, rollouts_file, save_rollouts
from training.schedule import Rows
from training.tokens import encode, load_tokenizer

PROMPTS, GROUP, MICRO, WARM, RATE = 4, 8, 4, 1, 1e-5


@dataclass(frozen=True)
class Setting:
    """What differs from one comparison to the next; `engine`: the rollouts come with log-probs."""

    name: str
    varied: bool
    engine: bool
    updates: int
    kl: float


SETTINGS = [
    Setting("vLLM's log-probs, KL, lengths vary", True, True, 1, 0.001),
    Setting("vLLM's log-probs, KL, lengths alike", False, True, 1, 0.001),
    Setting("4 updates a rollout, KL, lengths vary", True, True, 4, 0.001),
    Setting("no log-probs, no KL, lengths vary", True, False, 1, 0.0),
    Setting("no log-probs, no KL, lengths alike", False, False, 1, 0.0),
]


@dataclass
class Recorded:
    """The rollouts of all steps, ungraded."""

    asks: list[list[Ask]]
    samples: list[list[Sample]]

    def columns(self) -> dict[str, list[Any]]:
        """A row a prompt: its text and answer."""
        rows = [a for asks in self.asks for a in asks]
        return {"prompt": [a.prompt for a in rows], "answer": [a.answer for a in rows]}

    def of_prompts(self, prompts: list[str]) -> list[Sample]:
        """The samples of whole groups."""
        found: dict[str, list[Sample]] = {}
        for asks, samples in zip(self.asks, self.samples, strict=True):
            for s in samples:
                found.setdefault(asks[s.ask].prompt, []).append(s)
        return [found[p][i % GROUP] for i, p in enumerate(prompts)]


class _Split(PolicyStep):
    """Our step with the samples of each update given, since TRL draws its own at random."""

    given: list[Rows]

    def _parts(self, step: int) -> list[Rows]:
        return [self._by_length(rows) for rows in self.given]


class Ours:
    """Our side of a setting."""

    def __init__(self, folder: Path, scratch: Path, setting: Setting, zero: int, steps: int) -> None:
        rank, world = dist.get_rank(), dist.get_world_size()
        rate = {"learning_rate": RATE, "final_fraction": 1.0, "warmup_steps": 0}
        told: dict[str, Any] = {
            **{
                "optimizer": {**rate, "micro_batch": MICRO, "zero_stage": zero},
                "template": "{question}",
                "steps": steps,
            },
            **{"prompts_per_step": PROMPTS, "group": GROUP, "updates_per_rollout": setting.updates},
            **{"temperature": TEMPERATURE, "max_tokens": LONGEST, "kl": setting.kl, "aggregation": "sequence"},
            **{"max_mismatch": 1.0, "save_every": 10**6},
        }
        self.params = GrpoParams.model_validate(told)
        self.tokenizer = load_tokenizer(folder)
        model = load_model(AutoModelForCausalLM, folder, "float32")
        batch = PROMPTS * GROUP // setting.updates
        self.trainer = Trainer(
            model, self.params.optimizer, 10**6, batch, scratch, rank, world, setting.updates, keeper=None
        )
        self.reference = Reference(folder, self.params, self.trainer.device)

    def step(self, asks: list[Ask], drawn: list[Sample], given: list[Rows]) -> dict[str, float]:
        """As `training.grpo` does once an engine has answered: rank 0 grades and tells the others."""
        box: list[Any] = [None]
        if self.trainer.rank == 0:
            samples = [replace(s) for s in drawn]
            texts = self.tokenizer.batch_decode([s.token_ids for s in samples])
            for s, text, reward in zip(
                samples, texts, rewards(texts, [asks[s.ask].answer for s in samples]), strict=True
            ):
                s.text, s.reward = text, reward
            save_rollouts(rollouts_file(self.trainer.scratch, self.trainer.step), samples)
            box = [samples]
        dist.broadcast_object_list(box)
        samples = box[0]
        prompts = encode(self.tokenizer, [a.prompt for a in asks], end=False)
        policy = _Split(self.params, self.trainer, self.reference, prompts, samples)
        policy.given = given
        told = measures_of(samples) | policy.update(self.trainer.step, advantages_of(samples, self.params))
        self.trainer.end_step(told, self.params.save_every, tokens=sum(len(s.token_ids) for s in samples), lines=1)
        return told


class Theirs(Turns):
    """How TRL split a rollout, so that ours splits it alike."""

    def __init__(self, recorded: Recorded, ours: Ours, setting: Setting) -> None:
        super().__init__()
        self.recorded, self.ours, self.updates, self.rows = recorded, ours, setting.updates, torch.zeros(0)

    def shuffled(self, original: Any) -> Any:
        """TRL's shuffle of a rank's rollout, its order noted."""

        def shuffle(tensors: dict[str, Any]) -> dict[str, Any]:
            found = original({**tensors, "row": torch.arange(len(tensors["prompt_ids"]))})
            self.rows = found.pop("row")
            return dict(found)

        return shuffle

    def turn(self, number: int) -> Callable[[], dict[str, float]]:
        """The same rollout, the same samples in each update."""
        every = [torch.zeros_like(self.rows) for _ in range(dist.get_world_size())]
        dist.all_gather(every, self.rows)
        own = len(self.rows)
        parts = [
            torch.cat([r.chunk(self.updates)[u] + own * k for k, r in enumerate(every)]).numpy()
            for u in range(self.updates)
        ]
        return lambda: self.ours.step(self.recorded.asks[number], self.recorded.samples[number], parts)


def their_trainer(folder: Path, out: Path, setting: Setting, recorded: Recorded, stages: Stages) -> Any:
    """TRL's trainer; `use_vllm` is set where no vLLM can be reached, so that it corrects as with vLLM."""
    accumulation = PROMPTS * GROUP // dist.get_world_size() // MICRO // setting.updates

    def reward(completion_ids: list[list[int]], answer: list[str], **_: Any) -> list[float | None]:
        return rewards(tokenizer.batch_decode(completion_ids), answer)

    tokenizer = load_tokenizer(folder)
    made = GRPOTrainer(
        model=str(folder),
        reward_funcs=reward,
        args=GRPOConfig(
            output_dir=str(out),
            **{"use_cpu": True, "bf16": False, "report_to": [], "model_init_kwargs": {"dtype": "float32"}},
            **{"per_device_train_batch_size": MICRO, "gradient_accumulation_steps": accumulation},
            **{"steps_per_generation": accumulation * setting.updates, "num_generations": GROUP},
            **{"max_completion_length": LONGEST, "temperature": TEMPERATURE, "beta": setting.kl, "loss_type": "grpo"},
            **{"use_bias_correction_kl": False, "scale_rewards": "group", "shuffle_dataset": False},
            **{"vllm_importance_sampling_mode": "token_truncate", "vllm_importance_sampling_clip_min": 0.0},
            **{"vllm_importance_sampling_clip_max": 2.0, "learning_rate": RATE, "lr_scheduler_type": "constant"},
            **{"adam_beta2": 0.95, "max_grad_norm": 1.0, "max_steps": len(recorded.asks) * setting.updates},
            **{"logging_steps": 1, "save_strategy": "no", "disable_tqdm": True, "gradient_checkpointing": False},
            **{**stages.for_trl(), "dataloader_pin_memory": False},
        ),
        train_dataset=Dataset.from_dict(recorded.columns()),
        processing_class=tokenizer,
    )

    def replay(prompts: list[str], trainer: Any) -> dict[str, Any]:
        samples = recorded.of_prompts(prompts)
        return {
            "prompt_ids": encode(tokenizer, prompts, end=False),
            "completion_ids": [s.token_ids for s in samples],
            "logprobs": [s.logprobs for s in samples] if setting.engine else None,
        }

    made.rollout_func = replay
    if setting.engine:
        made.use_vllm, made.vllm_generation, made._last_loaded_step = True, _Synced(), -1
    for kind in (PrinterCallback, ProgressCallback):
        made.remove_callback(kind)
    return made


class _Synced:
    """In the place of TRL's connection to vLLM: the weights are there already."""

    def sync_weights(self) -> None:
        """Nothing to send."""


def compared(folder: Path, scratch: Path, setting: Setting, stages: Stages, steps: int) -> dict[str, Any]:
    """Both sides of a setting, turn by turn."""
    ours = Ours(folder, scratch / "ours", setting, stages.ours, steps)
    drawn = [rollout(ours.tokenizer, s, PROMPTS, GROUP, setting.varied) for s in range(steps + WARM)]
    recorded = Recorded([a for a, _ in drawn], [s for _, s in drawn])
    if setting.engine:
        model = load_model(AutoModelForCausalLM, folder, "float32")
        for asks, samples in drawn:
            engine_logprobs(model, encode(ours.tokenizer, [a.prompt for a in asks], end=False), samples)
    theirs = their_trainer(folder, scratch / "trl", setting, recorded, stages)
    turns = Theirs(recorded, ours, setting)
    theirs.add_callback(turns)
    original = grpo_trainer.shuffle_sequence_dict
    grpo_trainer.shuffle_sequence_dict = turns.shuffled(original)
    first = {n: w.clone() for n, w in ours.trainer.named_weights()}
    try:
        theirs.train()
    finally:
        grpo_trainer.shuffle_sequence_dict = original
    return {**asdict(setting), **ratios(turns.clock, WARM), **agreement(turns, ours, theirs, first)}


def agreement(turns: Theirs, ours: Ours, theirs: Any, first: dict[str, torch.Tensor]) -> dict[str, float]:
    """The largest differences of loss and (relative) gradient norm of any step, and of what the weights moved by."""
    n = turns.updates
    logged = [turns.logged[i : i + n] for i in range(0, len(turns.logged), n)]
    pairs = list(zip(turns.told, logged, strict=True))
    loss = max(abs(o["loss"] - sum(u["loss"] for u in t) / n) for o, t in pairs)
    # DeepSpeed tells no norm under ZeRO-0
    norm = max(abs(o["grad_norm"] / t[-1]["grad_norm"] - 1) if o["grad_norm"] else float("nan") for o, t in pairs)
    their_weights = dict(theirs.accelerator.unwrap_model(theirs.model).named_parameters())
    apart = moved = 0.0
    for name, own in ours.trainer.named_weights():
        apart += float((own - their_weights[name].detach()).square().sum())
        moved += float((own - first[name]).square().sum())
    return {"loss differs": loss, "gradient norm differs": norm, "weights differ": (apart / moved) ** 0.5}


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
