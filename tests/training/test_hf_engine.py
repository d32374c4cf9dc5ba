"""Rollouts by transformers' own model: by seed whatever the batch, with the log-probs of the policy, and trained on."""

import os
import signal
import subprocess
import sys
import threading
import time
from argparse import Namespace
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from transformers import Qwen2ForCausalLM

from r1data.cluster_params import ClusterParams
from r1data.errors import ContextOverflow, ModelError
from r1data.generate.client import Completion, CompletionRequest, Decoding
from r1data.launch import ENVIRONMENT
from r1data.manifest import Manifest
from r1data.recipe import load_recipe
from r1data.refs import move_ref
from r1data.run import LocalServices
from r1data.settings import Settings
from r1data.stages import graph
from r1data.training_params import ArchitectureParams, GrpoParams
from tests.running import children_of
from tests.training.grpo_jobs import hf_job
from tests.training.test_resume import stop_after_first_save
from training import grpo
from training.hf_engine import HfEngine, sampled
from training.job import Job, Stopped, open_job
from training.pretrain import configuration
from training.tokens import EOS, trained_tokenizer

REQUESTS = [CompletionRequest(f"User: {'1' * i}+23=?\nAssistant:\n", 4, 1000 * i, str(i)) for i in range(1, 7)]
DECODING = Decoding(temperature=0.8, top_p=1.0, max_tokens=40, logprobs=True)
Kept = Callable[[torch.Tensor], torch.Tensor]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model with few likely tokens at each place, the end one of them now and then."""
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("model")
    tokenizer = trained_tokenizer(["User: 23+45=?\nAssistant:\n<think>3 plus 5</think><answer>68</answer>"] * 30)
    architecture = ArchitectureParams(
        hidden_size=32, intermediate_size=64, layers=2, heads=2, kv_heads=1, max_positions=96
    )
    model = Qwen2ForCausalLM(configuration(architecture, len(tokenizer)))
    with torch.no_grad():
        for weight in (p for p in model.parameters() if p.ndim > 1):
            weight.mul_(10)
    model.save_pretrained(str(place))
    tokenizer.save_pretrained(str(place))
    return place


@pytest.fixture(scope="module")
def engine(folder: Path) -> HfEngine:
    return HfEngine(folder, "float32", 0, 1)


@pytest.fixture(scope="module")
def answers(engine: HfEngine) -> list[list[Completion]]:
    return engine.complete(REQUESTS, DECODING)


def same(found: list[list[Completion]], expected: list[list[Completion]]) -> bool:
    """The same tokens, and log-probs to rounding."""
    assert [[c.token_ids for c in g] for g in found] == [[c.token_ids for c in g] for g in expected]
    pairs = zip(chain(*found), chain(*expected), strict=True)
    gaps = [abs(a - b) for x, y in pairs for a, b in zip(x.logprobs, y.logprobs, strict=True)]
    return max(gaps) < 1e-4


def forced(engine: HfEngine, request: CompletionRequest, child: Completion, kept: Kept | None = None) -> list[float]:
    """Log-probs of a child's tokens by one pass over prompt and completion."""
    ids = torch.tensor([[*engine.tokenizer(request.prompt)["input_ids"], *child.token_ids]])
    with torch.no_grad():
        logits = engine.model(input_ids=ids).logits[0, child.prompt_tokens - 1 : -1] / DECODING.temperature
    logprobs = (kept(logits) if kept else logits).log_softmax(-1)
    found: list[float] = logprobs.gather(1, torch.tensor(child.token_ids)[:, None])[:, 0].tolist()
    return found


def test_a_sample_does_not_depend_on_its_batch(folder: Path, engine: HfEngine, answers: list[list[Completion]]) -> None:
    assert len({c.token_ids for group in answers for c in group}) > 12, "seeds differ"
    assert same(engine.complete(REQUESTS[::-1], DECODING)[::-1], answers)
    assert same(HfEngine(folder, "float32", 0, 1, rows=3).complete(REQUESTS, DECODING), answers)
    alone = CompletionRequest(REQUESTS[3].prompt, 1, REQUESTS[3].seed + 2)
    assert same(engine.complete([alone], DECODING), [[answers[3][2]]])
    ids = CompletionRequest(tuple(engine.tokenizer(alone.prompt)["input_ids"]), 1, alone.seed)
    assert same(engine.complete([ids], DECODING), [[answers[3][2]]])


def test_log_probs_are_those_of_one_pass(engine: HfEngine, answers: list[list[Completion]]) -> None:
    for request, group in zip(REQUESTS, answers, strict=True):
        for child in group:
            assert list(child.logprobs) == pytest.approx(forced(engine, request, child), abs=1e-4)


def test_it_ends_at_the_end_token_or_at_the_limit(engine: HfEngine, answers: list[list[Completion]]) -> None:
    ends = {c.finish_reason for group in answers for c in group}
    assert ends == {"stop", "length"}
    for child in (c for group in answers for c in group):
        stopped = child.finish_reason == "stop"
        assert child.token_ids.count(EOS) == int(stopped)
        assert (child.token_ids[-1] == EOS) == stopped
        assert stopped or len(child.token_ids) == DECODING.max_tokens
        assert "<eos>" not in child.text
        assert child.tokens == len(child.token_ids) == len(child.logprobs)
    shorter = CompletionRequest(REQUESTS[0].prompt, 4, REQUESTS[0].seed, max_tokens=7)
    (cut,) = engine.complete([shorter], DECODING)
    assert [c.token_ids for c in cut] == [c.token_ids[:7] for c in answers[0]]


def test_the_context_is_the_limit_too(engine: HfEngine) -> None:
    (group,) = engine.complete([CompletionRequest((30,) * 90, 2, 0)], DECODING)
    assert {c.tokens for c in group if c.finish_reason == "length"} <= {6}
    with pytest.raises(ContextOverflow, match="prompt 7 has 96 tokens"):
        engine.complete([CompletionRequest((30,) * 96, 1, 0, "7")], DECODING)


def test_greedy_is_transformers_own(engine: HfEngine) -> None:
    greedy = engine.complete(REQUESTS, Decoding(temperature=0, top_p=1.0, max_tokens=20, logprobs=True))
    for request, group in zip(REQUESTS, greedy, strict=True):
        ids = engine.tokenizer(request.prompt, return_tensors="pt")
        own = engine.model.generate(**ids, do_sample=False, max_new_tokens=20, pad_token_id=0)[0]
        assert {c.token_ids for c in group} == {tuple(own[ids["input_ids"].shape[1] :].tolist())}


def test_the_likeliest_tokens_alone_are_drawn(engine: HfEngine) -> None:
    def kept(logits: torch.Tensor) -> torch.Tensor:
        ordered, order = logits.softmax(-1).sort(-1, descending=True)
        inside = torch.zeros_like(logits, dtype=torch.bool).scatter(1, order, ordered.cumsum(-1) - ordered < 0.6)
        return logits.masked_fill(~inside, float("-inf"))

    narrow = Decoding(DECODING.temperature, 0.6, 20, logprobs=True)
    for request, group in zip(REQUESTS, engine.complete(REQUESTS, narrow), strict=True):
        for child in group:
            assert list(child.logprobs) == pytest.approx(forced(engine, request, child, kept), abs=1e-4)


def test_draws_follow_the_probabilities() -> None:
    logits = torch.tensor([0.5, 0.0, 0.2, 0.3]).log().repeat(1000, 1)
    draws = (torch.arange(1000, dtype=torch.double) + 0.5) / 1000
    tokens, logprobs = sampled(logits, draws, Decoding(1.0, 1.0, 1))
    assert tokens.bincount(minlength=4).tolist() == [500, 0, 200, 300]
    assert torch.allclose(logprobs, logits[0][tokens])
    edges = torch.tensor([0.0, 1 - 2.0**-53], dtype=torch.double)
    assert sampled(torch.tensor([[-torch.inf, 0.0, -torch.inf]] * 2), edges, Decoding(1.0, 1.0, 1))[0].tolist() == [
        1,
        1,
    ]


def test_new_weights_are_taken_whole_or_refused(folder: Path) -> None:
    engine = HfEngine(folder, "float32", 0, 1)
    other = {n: torch.randn_like(p) for n, p in engine.model.named_parameters()}
    before = engine.complete(REQUESTS[:2], DECODING)
    engine.load(other, "v1")
    assert all(torch.equal(p, other[n]) for n, p in engine.model.named_parameters())
    assert engine.complete(REQUESTS[:2], DECODING) != before
    name = "model.norm.weight"
    with pytest.raises(ModelError, match=rf"1 tensors .* {name}"):
        engine.load({n: w for n, w in other.items() if n != name}, "v2")
    with pytest.raises(ModelError, match=r"1 tensors .* strange"):
        engine.load({**other, "strange": other[name]}, "v2")


def test_stopped_and_resumed_training_is_the_same(workshop: Any, base: Manifest) -> None:
    whole, parted = (hf_job(workshop, base, scratch, steps=8) for scratch in ("whole", "parted"))
    grpo.train(whole)
    expected = workshop.committed(whole)
    metrics = pl.DataFrame(workshop.lake.read_table(f"{whole.folder}/metrics.parquet"))
    assert metrics.filter(pl.col("metric") == "mismatch")["value"].max() < 1e-4  # type: ignore[operator]
    watcher = stop_after_first_save(parted.scratch)
    with pytest.raises(Stopped):
        grpo.train(parted)
    watcher.join()
    grpo.train(parted)
    assert workshop.committed(parted).digest == expected.digest


def test_a_run_starts_no_server_for_it(workshop: Any, base: Manifest) -> None:
    """A program that prints its command line stands for Python."""
    cluster = ClusterParams(rollouts="hf")
    recipe = load_recipe("smoke").model_copy(update={"cluster": cluster})
    settings, lines = Settings("lake", workshop.folder, "/bin/echo", "fake"), list[str]()
    fleet = SimpleNamespace(slots=threading.Semaphore(1))  # whose servers nobody may hold
    desk: Any = SimpleNamespace(report=lines.append)
    services = LocalServices(workshop.lake, recipe, "smoke", settings, fleet, desk)  # type: ignore[arg-type]
    for name in ("zero", "dev1"):
        services.train(next(n for n in graph(recipe) if n.name == name), "k", {"init": base})
    assert ["--rollouts hf" in line for line in lines] == [True, False]
    assert not any("--engine-url" in line for line in lines)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_two_killed_ranks_train_as_one_does(workshop: Any, base: Manifest) -> None:
    """On the command line, without vLLM: importing it is an error here."""
    smoke = Path(__file__).resolve().parents[2] / "flows" / "recipes" / "smoke.toml"
    recipe = workshop.folder / "hf.toml"
    recipe.write_text(smoke.read_text(encoding="utf-8").replace("micro_batch = 16", "micro_batch = 4"), "utf-8")
    for name, made in (("base", base), ("problems", workshop.problems(8))):
        move_ref(workshop.lake, f"smoke/{name}", made)
    one = opened(workshop, recipe, "one")
    grpo.train(one)
    expected = found(workshop, one)
    workshop.lake.fs.rm(workshop.lake.path(one.folder), recursive=True)

    scratch = workshop.folder / "two"
    log = workshop.folder / "two.log"
    first = started(workshop, recipe, scratch, log)
    deadline = time.monotonic() + 400
    while not list(scratch.glob("*/*/rollouts/step-000001.parquet")) and time.monotonic() < deadline:
        assert first.poll() is None, log.read_text(encoding="utf-8")[-3000:]
        time.sleep(0.05)
    ranks = children_of(first.pid)
    for pid in (first.pid, *ranks):  # torchrun gives each rank a group of its own
        os.kill(pid, signal.SIGKILL)
    first.wait(60)
    assert len(ranks) == 2
    assert started(workshop, recipe, scratch, log).wait(400) == 0, log.read_text(encoding="utf-8")[-3000:]
    completions, weights = found(workshop, one)
    assert completions.equals(expected[0])
    assert max(float((weights[n] - expected[1][n]).abs().max()) for n in weights) < 1e-4


def opened(workshop: Any, recipe: Path, scratch: str) -> Job:
    """The job of the command line of `started`."""
    told = {"recipe": str(recipe), "node": "zero", "lake": workshop.lake.url, "key": None, "engine_url": None}
    told |= {"rollouts": "hf", "sync_bucket_mb": 1, "weights_over": "auto", "scratch": str(workshop.folder / scratch)}
    return open_job(Namespace(**told), GrpoParams)


def started(workshop: Any, recipe: Path, scratch: Path, log: Path) -> "subprocess.Popen[bytes]":
    """Two ranks of it."""
    without = workshop.folder / "without" / "vllm"
    without.mkdir(parents=True, exist_ok=True)
    (without / "__init__.py").write_text("raise ImportError('vLLM is not installed here')\n", encoding="utf-8")
    root = str(Path(__file__).resolve().parents[2])
    env = {**os.environ, **ENVIRONMENT, "PYTHONPATH": f"{without.parent}{os.pathsep}{root}"}
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "--"]
    main = ["training.grpo", "--recipe", str(recipe), "--node", "zero", "--lake", workshop.lake.url]
    command = [sys.executable, *torchrun, *main, "--rollouts", "hf", "--scratch", str(scratch)]
    with log.open("ab") as out:
        return subprocess.Popen(command, env=env, stdout=out, stderr=out)


def found(workshop: Any, job: Job) -> tuple[pl.DataFrame, dict[str, torch.Tensor]]:
    """(what was asked and answered, weights) of a committed training."""
    rollouts = pl.DataFrame(workshop.lake.read_table(f"{job.folder}/rollouts.parquet"))
    columns = ["rollout_id", "step", "seed", "completion", "reward"]
    return rollouts.select(columns).sort("rollout_id"), load_file(workshop.lake.path(f"{job.folder}/model.safetensors"))
