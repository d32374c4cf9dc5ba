"""Fine-tuning and reward models keep the best weights where the recipe says so, and end where the loss diverges."""

import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from pydantic import ValidationError
from transformers import AutoModelForCausalLM

from r1data.errors import RecipeError
from r1data.manifest import Manifest
from r1data.runner import frame_of
from r1data.steps.preferences import preference, preferences_frame
from r1data.training_params import (
    LossAlarm,
    OptimizerParams,
    RewardModelKeep,
    RewardModelParams,
    SftParams,
    SupervisedKeep,
)
from tests.training.test_keeper import stop_at
from tests.training.test_reward_model import HELPFUL, PROMPT, candidate, judged
from training import reward_model, sft
from training.job import Job, Stopped
from training.reward_model import RewardModel, split_by_problem
from training.stopping import diverged
from training.tokens import encode, labelled, load_tokenizer

# the rate rises until nothing is left of what was learnt
STEEP = OptimizerParams(learning_rate=10.0, warmup_steps=100, micro_batch=4)
KEEP = SupervisedKeep(policy="best", window=3)
SFT = SftParams(
    optimizer=STEEP, epochs=20, batch=4, max_length=64, save_every=4, keep=KEEP, alarms=LossAlarm(max_loss_ratio=2.0)
)


def sft_job(workshop: Any, base: Manifest, scratch: str = "scratch", params: SftParams = SFT) -> Job:
    made: Job = workshop.job("dev", "sft", params, {"init": base, "examples": workshop.examples(16)}, scratch)
    return made


def of(workshop: Any, job: Job, metric: str) -> dict[int, float]:
    """A metric by step."""
    rows = pl.DataFrame(workshop.lake.read_table(f"{job.folder}/metrics.parquet"))
    return dict(rows.filter(pl.col("metric") == metric).sort("step").select("step", "value").iter_rows())


def loss_on_examples(workshop: Any, made: Manifest, job: Job) -> float:
    """Of the committed model."""
    folder = workshop.model(made)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), load_tokenizer(folder)
    rows = frame_of(workshop.lake, job.inputs["examples"])
    prompts = encode(tokenizer, rows["prompt"].to_list(), end=False)
    completions = encode(tokenizer, rows["completion"].to_list(), end=True)
    ids, labels = labelled(prompts, completions)
    logits = model(input_ids=ids).logits[:, :-1].detach()
    return float(torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten()))


def test_diverging_stage_ends_with_the_weights_of_before_and_says_why(workshop: Any, base: Manifest) -> None:
    job = sft_job(workshop, base)
    sft.train(job)
    made, losses = workshop.committed(job), of(workshop, job, "loss")
    rows = [sum(losses[s] for s in range(i, i + 3)) / 3 for i in range(1, len(losses), 3)]
    assert made.labels["stopped"].startswith(f"diverged: loss {min(rows):.4g} -> {rows[-1]:.4g} over rows of 3 steps")
    assert made.counts["steps"] == len(losses) < 80
    assert made.counts["best_step"] == 3 * (rows.index(min(rows)) + 1)
    assert loss_on_examples(workshop, made, job) < rows[-1] / 2


@pytest.mark.parametrize("after", [0, 1])
def test_resumed_run_ends_the_same(workshop: Any, base: Manifest, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    whole = sft_job(workshop, base, "whole")
    sft.train(whole)
    expected = workshop.committed(whole)
    workshop.lake.delete(f"{whole.folder}/_manifest.json")
    job = sft_job(workshop, base, "stopped")
    stop_at(monkeypatch, expected.counts["best_step"] + after)
    with pytest.raises(Stopped):
        sft.train(job)
    sft.train(job)
    made = workshop.committed(job)
    assert (made.digest, made.labels, made.counts) == (expected.digest, expected.labels, expected.counts)


def test_without_the_alarm_it_goes_on(workshop: Any, base: Manifest) -> None:
    params = SFT.model_copy(update={"alarms": LossAlarm(), "keep": SupervisedKeep(), "epochs": 1})
    job = sft_job(workshop, base, params=params)
    sft.train(job)
    made = workshop.committed(job)
    assert (made.labels, "best_step" in made.counts) == ({"stopped": "steps: all 4"}, False)


def test_one_bad_batch_in_a_row_is_no_divergence() -> None:
    def metrics(*losses: float) -> list[dict[str, float]]:
        return [{"step": i + 1, "loss": v} for i, v in enumerate(losses)]

    assert diverged(metrics(1, 1, 1, 0.5, 0.5, 0.5, 2, 0.5, 0.5), SFT) == ""
    assert diverged(metrics(1, 1, 1, 0.5, 0.5, 0.5, 9, 9), SFT) == ""  # the row has not ended
    assert diverged(metrics(0.5, 0.5, 0.5, 1, 1, 1, 1.1, 1, 1), SFT).startswith("diverged: loss 0.5 -> 1.033")


def test_alarm_that_would_commit_diverged_weights_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"set keep\.policy"):
        SftParams(optimizer=STEEP, alarms=LossAlarm(max_loss_ratio=2.0))


def test_defaults_stay_out_of_keys() -> None:
    assert {"keep", "alarms"}.isdisjoint(SftParams(optimizer=STEEP).model_dump())
    assert {"keep", "alarms"}.isdisjoint(HELPFUL.model_dump())


def contrary(workshop: Any, base: Manifest, params: RewardModelParams) -> Job:
    """Pairs whose rows held out prefer what the others reject: what is learnt is wrong there."""
    problems = [f"p{i % 5}" for i in range(20)]
    _, test = split_by_problem(problems, params)
    texts = [("3!!!", "3") if i in test else ("3", "3!!!") for i in range(20)]
    pairs = [preference(candidate(chosen), candidate(rejected), 1.0, "x") for chosen, rejected in texts]
    told = [{**row, "pair_id": f"{i:03d}", "problem_id": problems[i]} for i, row in enumerate(pairs)]
    data = workshop.dataset("pairs", "preferences", preferences_frame(told))
    made: Job = workshop.job("rm_helpful", "reward_model", params, {"init": base, "data": data})
    return made


@pytest.mark.filterwarnings("ignore:`torch.distributed:FutureWarning")  # DeepSpeed's, under ZeRO-3
@pytest.mark.parametrize(("metric", "stage"), [("held_out_accuracy", 2), ("held_out_log_loss", 3)])
def test_reward_model_of_the_best_row_on_rows_held_out(workshop: Any, base: Manifest, metric: str, stage: int) -> None:
    keep = RewardModelKeep(policy="best", metric=metric, window=4)
    optimizer = HELPFUL.optimizer.model_copy(update={"zero_stage": stage})
    job = contrary(workshop, base, HELPFUL.model_copy(update={"keep": keep, "optimizer": optimizer, "epochs": 10}))
    reward_model.train(job)
    made, values = workshop.committed(job), of(workshop, job, "held_out_log_loss")
    best, last = made.counts["best_step"], made.counts["steps"]
    assert (best, last, list(values)) == (4, 20, [4, 8, 12, 16, 20])
    assert values[4] < values[8] < values[12] < values[16]
    assert values[last] == pytest.approx(values[best], rel=1e-6), "the last ones are of the checkpoint"
    rejected, chosen = RewardModel(workshop.model(made), "float32").rewards([PROMPT + "3", PROMPT + "3!!!"])
    odds = chosen / (1 - chosen) * (1 - rejected) / rejected
    assert values[best] == pytest.approx(math.log(1 + 1 / odds), rel=1e-3)


def test_reward_model_that_holds_out_nothing_says_what_it_can_keep(workshop: Any, base: Manifest) -> None:
    params = HELPFUL.model_copy(update={"keep": RewardModelKeep(policy="best", window=2), "held_out": 0.0})
    with pytest.raises(RecipeError, match=r"keep\.metric 'held_out_log_loss'") as e:
        reward_model.train(judged(workshop, base, params))
    assert "loss" in e.value.remedy


def test_recipe_reads_the_settings(tmp_path: Path) -> None:
    from r1data.recipe import SHIPPED, load_recipe

    text = (SHIPPED / "smoke.toml").read_text(encoding="utf-8")
    more = '[dev1]\nkeep = { policy = "best" }\nalarms = { max_loss_ratio = 3.0 }\n'
    (tmp_path / "own.toml").write_text(text.replace("[dev1]\n", more), encoding="utf-8")
    found = load_recipe(str(tmp_path / "own.toml")).dev1
    assert (found.keep.metric, found.keep.lower, found.alarms.max_loss_ratio) == ("loss", True, 3.0)
