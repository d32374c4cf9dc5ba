"""Training ends in a committed checkpoint, and a resumed run in the same one, bit by bit."""

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from r1data.errors import StageFailed
from r1data.manifest import Manifest, corrupt_files
from r1data.runner import frame_of
from r1data.training_params import OptimizerParams, SftParams
from training import sft
from training.job import Job, Stopped
from training.tokens import load_tokenizer

OPTIMIZER = OptimizerParams(learning_rate=1e-2, warmup_steps=1, micro_batch=4)
SFT = SftParams(
    optimizer=OPTIMIZER,
    epochs=1,
    batch=4,
    max_length=64,
    save_every=2,
)
EPOCH = 4


def sft_job(workshop: Any, base: Manifest, scratch: str, params: SftParams = SFT) -> Job:
    inputs = {"init": base, "examples": workshop.examples(4 * EPOCH)}
    job: Job = workshop.job("dev", "sft", params, inputs, scratch)
    return job


def stop_after_first_save(scratch: Path) -> threading.Thread:
    """A thread that sends this process SIGTERM as soon as a state is saved."""

    def watch() -> None:
        while not list(scratch.glob("state-*")):
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def test_checkpoint_loads_and_carries_its_probe(workshop: Any, base: Manifest) -> None:
    folder = workshop.model(base)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id == 1
    ids, expected = base.probe["prompts"][0], base.probe["logprobs"][0]
    found = torch.log_softmax(model(input_ids=torch.tensor([ids])).logits[0].detach(), -1)
    assert [float(found[i, t]) for i, t in enumerate(ids[1:])] == pytest.approx(expected, abs=1e-5)


def test_checkpoint_is_intact_and_says_what_it_is_made_of(workshop: Any, base: Manifest) -> None:
    job = sft_job(workshop, base, "scratch")
    sft.train(job)
    made = workshop.committed(job)
    assert list(corrupt_files(workshop.lake, made)) == []
    assert {p.role: p.digest for p in made.parents}["init"] == base.digest
    assert made.counts == {"steps": EPOCH, "rows_in_examples": 16, "cut_to_max_length": 0}
    assert not job.scratch.exists()


def test_times_do_not_enter_the_digest(workshop: Any, base: Manifest) -> None:
    job = sft_job(workshop, base, "scratch")
    sft.train(job)
    first = workshop.committed(job)
    job.scratch.mkdir(parents=True)
    sft.train(job)
    assert workshop.committed(job).digest == first.digest


def test_stopped_and_resumed_is_the_same_model(workshop: Any, base: Manifest) -> None:
    long = SFT.model_copy(update={"epochs": 12})
    whole, parted = sft_job(workshop, base, "whole", long), sft_job(workshop, base, "parted", long)
    sft.train(whole)
    expected = workshop.committed(whole)
    weights = load_file(workshop.lake.path(f"{whole.folder}/model.safetensors"))
    watcher = stop_after_first_save(parted.scratch)
    with pytest.raises(Stopped):
        sft.train(parted)
    watcher.join()
    stopped_at = max(int(p.name[-7:]) for p in parted.scratch.glob("state-*"))
    assert stopped_at < 12 * EPOCH
    sft.train(parted)
    again = load_file(workshop.lake.path(f"{parted.folder}/model.safetensors"))
    assert all(torch.equal(again[name], weights[name]) for name in weights)
    assert workshop.committed(parted).digest == expected.digest


def test_lost_numbers_stop_the_run_and_leave_the_saved_state(workshop: Any, base: Manifest) -> None:
    wild = SFT.model_copy(update={"optimizer": SFT.optimizer.model_copy(update={"learning_rate": 1e30})})
    job = sft_job(workshop, base, "scratch", wild.model_copy(update={"save_every": 1}))
    with pytest.raises(StageFailed, match=r"step 2: the (loss|gradient)"):
        sft.train(job)
    assert (job.scratch / "state-0000001").is_dir()
    assert not workshop.lake.exists(f"{job.folder}/_manifest.json")


def test_completion_is_cut_and_counted(workshop: Any, base: Manifest) -> None:
    tokenizer = load_tokenizer(workshop.model(base))
    prompts = frame_of(workshop.lake, workshop.examples(16))["prompt"]
    longest = max(len(tokenizer(p)["input_ids"]) for p in prompts)
    job = sft_job(workshop, base, "scratch", SFT.model_copy(update={"max_length": longest + 4}))
    sft.train(job)
    assert workshop.committed(job).counts["cut_to_max_length"] == 16
