"""Engines that die, lie or are several: a step goes on, or ends with a clear error and nothing lost."""

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from transformers import AutoModelForCausalLM

from r1data.cluster_params import EngineParams
from r1data.endpoint import Endpoint
from r1data.errors import EndpointError, ModelError, StageFailed
from r1data.generate.client import Completion, CompletionRequest, Decoding
from r1data.generate.server import Server, start_server
from r1data.generate.weights import weight_version
from r1data.manifest import Manifest
from tests.training.grpo_jobs import OPTIMIZER, PARAMS, job
from training import grpo
from training.collecting import Collector
from training.core import load_model
from training.engine import ServerEngine
from training.job import Job
from training.tokens import load_tokenizer
from training.transfer import Files, Weights, pairs

ASKED = [CompletionRequest(f"User: {i}+1=? Assistant: ", 4, 10 * i, str(i)) for i in range(12)]
DECODING = Decoding(1.0, 1.0, 24)
SLOW = EngineParams(arguments=("--token-ms", "20"))


@pytest.fixture
def servers(workshop: Any, base: Manifest, tmp_path: Path) -> Iterator[list[Server]]:
    """Two fake servers, slow enough to be killed while they answer."""
    folder = workshop.model(base)
    found = [start_server(folder, "fake", sys.executable, tmp_path / f"fake-{i}.log", SLOW) for i in range(2)]
    yield found
    for server in found:
        server.stop()


def engine_of(servers: list[Server], folder: Path) -> ServerEngine:
    return ServerEngine([Endpoint(s.url, "policy") for s in servers], 0, Files(folder), bucket_bytes=4096)


def weights_of(workshop: Any, base: Manifest) -> dict[str, torch.Tensor]:
    model = load_model(AutoModelForCausalLM, workshop.model(base), "float32")
    return {n: p.detach() for n, p in model.named_parameters()}


def kill(server: Server, later: float = 0.0) -> None:
    """SIGKILL, perhaps in a moment: what is asked meanwhile gets no answer."""
    timer = threading.Timer(later, server.process.kill)
    timer.start()
    if not later:
        timer.join()
        server.process.wait()


def test_rollouts_are_the_same_whichever_server_answers_and_outlive_one(
    workshop: Any, base: Manifest, servers: list[Server], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = weights_of(workshop, base)
    one, two = engine_of(servers[:1], tmp_path), engine_of(servers, tmp_path)
    one.load(iter(weights.items()), "v1")
    expected = one.complete(ASKED, DECODING)
    two.load(weights, "v2")
    assert [weight_version(s.url) for s in servers] == ["v2", "v2"]
    kill(servers[0], later=0.1)
    assert two.complete(ASKED, DECODING) == expected
    servers[0].process.wait()

    two.load(weights, "v3")
    assert f"goes on without server {servers[0].url}" in capsys.readouterr().out
    assert two.complete(ASKED, DECODING) == expected
    assert weight_version(servers[1].url) == "v3"
    kill(servers[1])
    with pytest.raises(EndpointError):
        two.load(weights, "v4")


def test_a_server_that_was_started_anew_is_not_asked_before_it_has_the_weights(
    workshop: Any, base: Manifest, servers: list[Server], tmp_path: Path
) -> None:
    engine = engine_of(servers, tmp_path)
    engine.load(weights_of(workshop, base), "v1")
    engine_of(servers[1:], tmp_path).load(weights_of(workshop, base), "other")
    engine.complete(ASKED, DECODING)
    assert "has weights 'other', not 'v1'" in str(engine.lost[servers[1].url])
    engine.load(weights_of(workshop, base), "v2")
    assert engine.lost == {}


def test_weights_that_do_not_match_the_config_are_named(
    workshop: Any, base: Manifest, servers: list[Server], tmp_path: Path
) -> None:
    wrong = weights_of(workshop, base) | {"model.norm.weight": torch.zeros(7)}
    with pytest.raises(ModelError, match=r"model\.norm\.weight is \[7\], the model's is \[32\]"):
        engine_of(servers, tmp_path).load(wrong, "v1")


@pytest.mark.parametrize("moment", ["while it answers", "while it takes weights"])
def test_an_engine_that_dies_loses_nothing(
    workshop: Any, base: Manifest, servers: list[Server], monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    run = job(workshop, base, servers[0])
    steps = [0]

    def dying(self: Collector, step: int) -> Any:
        steps[0] += 1
        if steps[0] == 2 and moment == "while it answers":
            kill(servers[0], later=0.2)
        return of_step(self, step)

    def taking(self: ServerEngine, weights: Weights, version: str) -> None:
        def cut() -> Iterator[tuple[str, torch.Tensor]]:
            for i, pair in enumerate(pairs(weights)):
                if i == 4 and steps[0] == 2:
                    kill(servers[0])
                yield pair

        self.bucket_bytes = 4096
        load(self, cut() if moment == "while it takes weights" else weights, version)

    of_step, load = Collector.of_step, ServerEngine.load
    with monkeypatch.context() as patch:
        patch.setattr(Collector, "of_step", dying)
        patch.setattr(ServerEngine, "load", taking)
        with pytest.raises(EndpointError):
            grpo.train(run)
    assert "state-0000001" in [p.name for p in run.scratch.glob("state-*")]
    assert not workshop.lake.exists(f"{run.folder}/_manifest.json")
    again: Job = workshop.job("zero", "grpo", PARAMS, run.inputs, "scratch", Endpoint(servers[1].url, "policy"))
    grpo.train(again)
    metrics = pl.DataFrame(workshop.lake.read_table(f"{again.folder}/metrics.parquet"))
    assert sorted(metrics.filter(pl.col("metric") == "reward")["step"]) == [1, 2, 3]


class Frozen:
    """An engine that takes weights and, unless it is honest, goes on with its first ones; it gives log-probs."""

    device = "cpu"

    def __init__(self, folder: Path, honest: bool) -> None:
        self.model = load_model(AutoModelForCausalLM, folder, "float32")
        self.tokenizer, self.honest = load_tokenizer(folder), honest

    def load(self, weights: Weights, version: str) -> None:
        """Goes through all of them."""
        found = dict(pairs(weights))
        if self.honest:
            self.model.load_state_dict(found, strict=False)

    @torch.no_grad()
    def complete(self, requests: list[CompletionRequest], decoding: Decoding) -> list[list[Completion]]:
        """Two tokens each, drawn by seed."""
        return [[self._child(r, r.seed + k) for k in range(r.n)] for r in requests]

    def _child(self, request: CompletionRequest, seed: int) -> Completion:
        draw = torch.Generator().manual_seed(seed)
        head = self.tokenizer(request.prompt, add_special_tokens=False)["input_ids"]
        ids, logprobs = list[int](), list[float]()
        for _ in range(2):
            told = self.model(input_ids=torch.tensor([[*head, *ids]])).logits[0, -1].log_softmax(-1)
            ids.append(int(torch.multinomial(told.exp(), 1, generator=draw)))
            logprobs.append(float(told[ids[-1]]))
        return Completion(self.tokenizer.decode(ids), tuple(ids), tuple(logprobs), "length", len(head), 2)

    def close(self) -> None:
        """Nothing to close."""


def test_an_engine_that_ignores_an_update_stops_the_stage(
    workshop: Any, base: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    # rewards that differ, and a rate at which one update is seen
    changes = {"optimizer": OPTIMIZER.model_copy(update={"learning_rate": 0.05}), "updates_per_rollout": 1, "kl": 1.0}
    run = job(workshop, base, None, **changes)
    folder = workshop.model(base)
    monkeypatch.setattr(grpo, "advantages_of", lambda samples, params: torch.tensor([1.0, -1.0] * (len(samples) // 2)))
    monkeypatch.setattr(grpo, "_engine", lambda *_: Frozen(folder, honest=False))
    version = f"{run.key[:8]}-1"
    with pytest.raises(StageFailed, match=rf"step 2, .*{version}.* differ by [0-9.]+ nats a token, more than 0\.01"):
        grpo.train(run)
    assert [p.name for p in run.scratch.glob("state-*")] == ["state-0000001"]
    assert not (run.scratch / "rollouts" / "step-000001.parquet").exists(), "drawn from other weights"

    monkeypatch.setattr(grpo, "_engine", lambda *_: Frozen(folder, honest=True))
    grpo.train(run)
    metrics = pl.DataFrame(workshop.lake.read_table(f"{run.folder}/metrics.parquet"))
    assert metrics.filter(pl.col("metric") == "mismatch")["value"].to_list() == pytest.approx([0.0] * 3, abs=1e-4)
