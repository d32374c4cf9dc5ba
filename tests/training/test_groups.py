"""Weights over process groups: every worker gets every byte, a peer that dies takes no other with it."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
import torch
from transformers import AutoModelForCausalLM

from r1data.child import tied
from r1data.endpoint import Endpoint, wait_healthy
from r1data.errors import EndpointError, ModelError, RecipeError
from r1data.generate.weights import weight_version
from r1data.manifest import Manifest
from tests.s3 import free_port
from tests.training.group_server import digest
from tests.training.grpo_jobs import job
from training import groups, grpo
from training.core import load_model
from training.engine import ServerEngine
from training.groups import Groups, opened, parcel
from training.transfer import Files

Weights = dict[str, torch.Tensor]
Start = Callable[..., tuple[str, subprocess.Popen[bytes]]]


@pytest.fixture
def weights(workshop: Any, base: Manifest) -> Weights:
    """Two types, so that what follows a tensor must be aligned."""
    model = load_model(AutoModelForCausalLM, workshop.model(base), "float32")
    return {n: p.detach().bfloat16() if "norm" in n else p.detach() for n, p in model.named_parameters()}


@pytest.fixture
def start(workshop: Any, base: Manifest) -> Iterator[Start]:
    """(url, process) of a server with workers, perhaps on a port that one had before."""
    found = []

    def started(
        *more: str, workers: int = 1, port: int | None = None, limit_s: float = 60
    ) -> tuple[str, subprocess.Popen[bytes]]:
        port = port or free_port()
        told = ["--model", str(workshop.model(base)), "--port", str(port), "--workers", str(workers)]
        told += ["--limit-s", str(limit_s), *more]
        found.append(subprocess.Popen(tied([sys.executable, "-m", "tests.training.group_server", *told])))
        url = f"http://127.0.0.1:{port}"
        assert wait_healthy(url, 120, lambda: True)
        return url, found[-1]

    yield started
    for process in found:
        process.kill()
        process.wait()


def engine_of(*urls: str) -> ServerEngine:
    return ServerEngine([Endpoint(url, "policy") for url in urls], 0, Groups("gloo"), bucket_bytes=4096)


def held(url: str) -> Any:
    return httpx.get(f"{url}/held", trust_env=False).json()


def test_a_parcel_holds_tensors_of_any_type_and_shape() -> None:
    bucket = {
        "odd": torch.arange(3, dtype=torch.bfloat16),
        "wide": torch.randn(2, 5, dtype=torch.double).T,
        "none": torch.zeros(0, 4),
        "flags": torch.tensor([True, False, True]),
        "one": torch.tensor(2.5),
    }
    made = parcel(bucket)
    found = opened(made.told, made.flat)
    assert list(found) == list(bucket)
    for name, tensor in bucket.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


def test_every_worker_of_every_server_gets_all_bytes_over_one_group(start: Start, weights: Weights) -> None:
    (one, _), (two, _) = start(), start(workers=2)
    engine = engine_of(one, two)
    engine.load(iter(weights.items()), "v1")
    later = {n: w + 1 for n, w in weights.items()}
    engine.load(later, "v2")
    expected = {n: digest(w) for n, w in later.items()}
    assert held(one) == {"joined": 1, "digests": [expected]}
    assert held(two) == {"joined": 1, "digests": [expected, expected]}
    assert [weight_version(one), weight_version(two)] == ["v2", "v2"]
    engine.close()
    engine_of(one).load(weights, "v3")  # another trainer
    assert held(one)["joined"] == 2


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="fewer than two CUDA devices: NCCL was not tried")
def test_weights_go_from_one_gpu_to_another(start: Start, weights: Weights) -> None:
    url, _ = start("--device", "cuda:1")
    engine = ServerEngine([Endpoint(url, "policy")], 0, Groups("nccl"), bucket_bytes=4096)
    with pytest.raises(ModelError, match=r"model\.norm\.weight is \[7\]"):
        engine.load({"model.norm.weight": torch.zeros(7, device="cuda:0")}, "v0")
    engine.load(((n, w.to("cuda:0")) for n, w in weights.items()), "v1")
    assert held(url) == {"joined": 2, "digests": [{n: digest(w) for n, w in weights.items()}]}
    engine.load({n: w.to("cuda:0") for n, w in weights.items()}, "v3")
    assert weight_version(url) == "v3"


def test_a_server_that_dies_in_a_transfer_is_left_out_until_it_is_back(
    start: Start, weights: Weights, capsys: pytest.CaptureFixture[str]
) -> None:
    (one, dying), (two, _) = start(), start()
    engine = engine_of(one, two)
    engine.load(weights, "v1")

    def cut() -> Iterator[tuple[str, torch.Tensor]]:
        for i, pair in enumerate(weights.items()):
            if i == 4:
                dying.kill()
                dying.wait()
            yield pair

    engine.load(cut(), "v2")
    assert f"goes on without server {one}" in capsys.readouterr().out
    assert held(two) == {"joined": 1, "digests": [{n: digest(w) for n, w in weights.items()}]}
    assert weight_version(two) == "v2"

    start(port=int(one.rpartition(":")[2]))
    engine.load(weights, "v3")
    assert engine.lost == {}
    assert [weight_version(one), weight_version(two)] == ["v3", "v3"]
    start_again = held(one)
    assert start_again["joined"] == 1
    assert start_again["digests"] == held(two)["digests"]


def test_a_server_that_dies_while_its_group_forms_takes_no_other_with_it(
    start: Start, weights: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "LIMIT_S", 10.0)
    (one, _), (two, _) = start("--dies"), start()
    engine = engine_of(one, two)
    engine.load(weights, "v1")
    assert engine.lost.keys() == {one}
    assert "weights_over" in str(engine.lost[one])
    assert weight_version(two) == "v1"
    for left in (t for t in threading.enumerate() if t.name == "group"):
        left.join()  # gloo's own time is up: at its end Python would be aborted by it


def test_a_transfer_that_was_cut_off_does_not_stand_in_the_way(start: Start, weights: Weights) -> None:
    url, _ = start()
    engine = engine_of(url)

    def cut() -> Iterator[tuple[str, torch.Tensor]]:
        yield from list(weights.items())[:3]
        raise KeyError("no more")

    with pytest.raises(KeyError):
        engine.load(cut(), "v1")
    engine.close()
    engine_of(url).load(weights, "v2")
    assert weight_version(url) == "v2"


def test_weights_that_do_not_match_the_config_are_named_and_the_right_ones_go_next(
    start: Start, weights: Weights
) -> None:
    url, _ = start()
    engine = engine_of(url)
    with pytest.raises(ModelError, match=r"model\.norm\.weight is \[7\], the model's is \[32\]"):
        engine.load(weights | {"model.norm.weight": torch.zeros(7)}, "v1")
    engine.load(weights, "v2")
    assert held(url) == {"joined": 2, "digests": [{n: digest(w) for n, w in weights.items()}]}


def test_a_server_whose_workers_do_not_come_is_an_error_in_time(
    start: Start, weights: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, _ = start(limit_s=2)
    monkeypatch.setattr(groups, "LIMIT_S", 1.0)
    monkeypatch.setattr(groups, "world_size", lambda _: 2)  # one that never joins
    with pytest.raises(EndpointError, match="no answer in 2 s"):
        engine_of(url).load(weights, "v1")


def test_the_way_follows_the_recipe_and_the_machine(
    workshop: Any, base: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, away = Endpoint("http://127.0.0.1:1", "policy"), Endpoint("http://10.0.0.1:1", "policy")
    made = job(workshop, base, None)

    def way(over: str, *endpoints: Endpoint) -> Any:
        return grpo._way(replace(made, weights_over=over, endpoints=endpoints))

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert isinstance(way("auto", here, away), Files)
    assert isinstance(way("gloo", here), Groups)
    with pytest.raises(RecipeError, match="NCCL, but this machine's trainer has no GPU"):
        way("nccl", here)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert (way("auto", away, away).backend, way("nccl", here).backend) == ("nccl", "nccl")
    assert isinstance(way("auto", here, away), Files), "one server may share the trainer's GPU"
    assert way("nccl", here).device == "cuda"
    assert isinstance(way("auto", here), Files)
