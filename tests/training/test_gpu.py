"""One GPU: fine-tuning and GRPO with rollouts by transformers, of a random decoder of 138 M parameters in bf16.

`make gpu` runs these and prints what they measured. Where there is no CUDA device they are skipped, and a tiny decoder
takes the same path on the CPU.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
import torch.distributed as dist
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # its stubs leave it out
from transformers import AutoModelForCausalLM, Qwen2ForCausalLM

from r1data.launch import ENVIRONMENT
from r1data.manifest import Manifest
from r1data.stages.training import ImportParams
from r1data.training_params import ArchitectureParams, GrpoParams, SftParams
from tests.training.conftest import example_rows
from tests.training.grpo_jobs import PARAMS
from training import grpo, import_model, sft
from training.groups import Group, opened, parcel
from training.job import Job
from training.pretrain import configuration
from training.tokens import trained_tokenizer

CUDA = torch.cuda.is_available()
LARGE = ArchitectureParams(hidden_size=768, intermediate_size=3072, layers=12, heads=12, kv_heads=4, max_positions=1024)
TINY = ArchitectureParams(hidden_size=32, intermediate_size=64, layers=1, heads=2, kv_heads=1, max_positions=128)
# architecture, vocabulary, most sums of an example, tokens of a rollout, prompts of a step
SIZES: dict[str, tuple[ArchitectureParams, int, int, int, int]] = {
    "large": (LARGE, 32_768, 40, 256, 8),
    "tiny": (TINY, 1_024, 5, 24, 2),
}
GPU = pytest.mark.skipif(not CUDA, reason="no CUDA device here: the trainings of 138 M parameters were not tried")
CPU = pytest.mark.skipif(CUDA, reason="for machines without a GPU")
OPTIMIZER = {"learning_rate": 1e-4, "warmup_steps": 0, "zero_stage": 2, "dtype": "bfloat16", "micro_batch": 4}
# libraries warn of other things on a GPU than here
pytestmark = [pytest.mark.timeout(900), pytest.mark.filterwarnings("default")]
sizes = pytest.mark.parametrize("size", [pytest.param("large", marks=GPU), pytest.param("tiny", marks=CPU)])


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a training's own process is given; peaks of memory begin anew."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    if CUDA:
        torch.cuda.reset_peak_memory_stats()


def random_model(workshop: Any, size: str) -> tuple[Manifest, int]:
    """(an imported checkpoint, its parameters)."""
    architecture, vocabulary, *_ = SIZES[size]
    torch.manual_seed(0)
    folder = workshop.folder / "random"
    model = Qwen2ForCausalLM(configuration(architecture, vocabulary))
    model.save_pretrained(str(folder))
    trained_tokenizer(["User: 23+45=? Assistant: <think>3 plus 5</think><answer>68</answer>"] * 30).save_pretrained(
        str(folder)
    )
    job = workshop.job("base", "import_model", ImportParams(path=str(folder), pin=""), {})
    import_model.train(job)
    return workshop.committed(job), sum(p.numel() for p in model.parameters())


def measured(workshop: Any, job: Job, parameters: int) -> pl.DataFrame:
    """Metrics of a committed training, a column each; checks what holds for any, and prints the figures."""
    long = pl.DataFrame(workshop.lake.read_table(f"{job.folder}/metrics.parquet"))
    found = long.pivot("metric", index="step", values="value").sort("step")
    assert found["loss"].is_finite().all()
    assert (found["grad_norm"] > 0).any()
    assert float(found["memory_mb"].max()) * 1e6 > 16 * parameters  # type: ignore[arg-type]
    assert dist.get_backend() == ("nccl" if CUDA else "gloo")
    told = {name: round(float(found[name][-1]), 4) for name in ("tokens_per_second", "memory_mb", "loss")}
    told |= {"mismatch": round(float(found["mismatch"].max()), 5)} if "mismatch" in found else {}  # type: ignore[arg-type]
    where = torch.cuda.get_device_name() if CUDA else "CPU"
    print(f"\n{job.node.name}, {parameters / 1e6:.1f} M parameters, {where}: {json.dumps(told)}")
    return found


def check_loads(workshop: Any, job: Job) -> None:
    """The checkpoint gives the log-probs that its manifest carries, to the precision of bf16."""
    made = workshop.committed(job)
    folder: Path = workshop.model(made)
    model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.bfloat16).to("cuda" if CUDA else "cpu")
    for ids, expected in zip(made.probe["prompts"], made.probe["logprobs"], strict=True):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids], device=model.device)).logits[0].float()
        found = logits.log_softmax(-1)[:-1].cpu().gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
        assert found.tolist() == pytest.approx(expected, abs=0.1)


def fine_tuned(workshop: Any, size: str) -> tuple[Job, int]:
    """(a finished training on texts of many lengths, its parameters)."""
    base, parameters = random_model(workshop, size)
    architecture, _, words, *_ = SIZES[size]
    said = pl.Series(["3 plus 5 " * (1 + 7 * i % words) for i in range(128)])
    examples = workshop.dataset("examples", "sft_examples", example_rows(128).with_columns(completion=said))
    optimizer = {**OPTIMIZER, "learning_rate": 1e-3 if size == "large" else 1e-2}
    told = {"optimizer": optimizer, "epochs": 4, "batch": 32, "max_length": architecture.max_positions}
    job = workshop.job("dev", "sft", SftParams.model_validate(told), {"init": base, "examples": examples})
    sft.train(job)
    return job, parameters


@sizes
def test_fine_tuning(workshop: Any, size: str) -> None:
    job, parameters = fine_tuned(workshop, size)
    losses = measured(workshop, job, parameters)["loss"]
    assert losses[-1] < losses[0]
    check_loads(workshop, job)


@sizes
def test_a_group_for_weights(size: str) -> None:
    """Of the trainer alone: NCCL has no two ranks on one device."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    device = torch.device("cuda", 0) if CUDA else torch.device("cpu")
    group = Group.of_all(store, "127.0.0.1", "nccl" if CUDA else "gloo", 0, 1, device)
    made = parcel({"weight": torch.arange(1e6 if size == "large" else 8.0, device=device)})
    group.broadcast(made.flat)
    group.close()
    assert float(opened(made.told, made.flat)["weight"].sum()) > 0


@sizes
def test_reinforcement_learning(workshop: Any, size: str) -> None:
    tuned, parameters = fine_tuned(workshop, size)
    *_, tokens, prompts = SIZES[size]
    told: dict[str, Any] = {"optimizer": OPTIMIZER, "max_tokens": tokens, "prompts_per_step": prompts, "group": 8}
    told |= {"save_every": 10}
    # such text is never right: its length is what groups differ by
    told |= {"overlong": "penalty", "overlong_buffer": tokens, "max_mismatch": 0.05}
    params = GrpoParams.model_validate({**PARAMS.model_dump(), **told})
    inputs = {"init": workshop.committed(tuned), "problems": workshop.problems(8)}
    job = replace(workshop.job("zero", "grpo", params, inputs), rollouts="hf")
    grpo.train(job)
    found = measured(workshop, job, parameters)
    assert 0 < float(found["mismatch"].max()) < 0.05  # type: ignore[arg-type]
    assert (found["zero_variance"] < 1).any()
    check_loads(workshop, job)
