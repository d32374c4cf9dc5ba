"""Where rollouts come from: vLLM servers that rank 0 asks, or vLLM inside every rank's own process.

All take the weights through the same update of `vllm_ext` and the same seeds: a rollout is the same wherever it is
made.
"""

import os
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.distributed as dist

from r1data.endpoint import Endpoint
from r1data.errors import EndpointError, ModelError
from r1data.generate.client import DOWN_S, Completion, CompletionRequest, Decoding, completions
from r1data.generate.router import Backend
from r1data.generate.weights import prompt_logprobs, update_all, weight_version
from training.groups import Groups
from training.transfer import Files, Weights, buckets, pairs

CPU_CACHE_BYTES = 256 << 20
IN_FLIGHT = 64  # requests that a server has at a time


class Engine(Protocol):
    """Samples from the weights it was given last; `device`: where it wants the next ones."""

    device: str

    def load(self, weights: Weights, version: str) -> None:
        """Take new weights: (name, tensor) of every parameter on `device`, as an iterator or a mapping.

        Called on every rank. Every rank goes through the whole iterator, since gathering a sharded parameter is
        collective; a tensor is the engine's until it asks for the next. `ModelError`: they do not fit the model.
        """
        ...

    def complete(self, requests: list[CompletionRequest], decoding: Decoding) -> list[list[Completion]]:
        """Children of every request, in their order; called on every rank, complete on rank 0."""
        ...

    def close(self) -> None:
        """Give back what it holds; the process group may end with it."""
        ...


class ServerEngine:
    """vLLM servers of one model; rank 0 alone talks to them.

    One that goes away, or does not take an update, gets no request until it has taken a later one whole: a step goes on
    with the others. The `EndpointError` of the last one ends it.
    """

    def __init__(
        self, endpoints: Sequence[Endpoint], rank: int, way: Files | Groups, bucket_bytes: int = 256 << 20
    ) -> None:
        self.endpoints, self.rank, self.way = tuple(endpoints), rank, way
        self.device, self.bucket_bytes = way.device, bucket_bytes
        self.version = ""
        self.lost: dict[str, EndpointError] = {}

    def load(self, weights: Weights, version: str) -> None:
        """Bucket by bucket, to all servers at the same time."""
        if self.rank != 0:
            for _ in pairs(weights):
                pass
            return
        parcels: Generator[Any] = self.way.parcels(weights, self.bucket_bytes)
        with closing(parcels):
            lost = update_all([e.url for e in self.endpoints], parcels, version, self.way)
        self.version = version
        for url, error in lost.items():
            self._lose(url, error)
        for url in self.lost.keys() - lost.keys():
            print(f"server {url} is back, with weights {version}", flush=True)
            del self.lost[url]

    def complete(self, requests: list[CompletionRequest], decoding: Decoding) -> list[list[Completion]]:
        """Asked over HTTP, of whichever server has least to do: seeds are the requests' own.

        `ModelError` where a server has other weights afterwards.
        """
        if self.rank != 0:
            return []
        holding = [e for e in self.endpoints if e.url not in self.lost and self._holds(e)]
        if not holding:
            raise next(iter(self.lost.values()))
        backends = [Backend(e, partial(self._revived, e)) for e in holding]
        answers = completions(backends, requests, decoding, in_flight=IN_FLIGHT * len(backends))
        for endpoint in holding:
            self._check_after(endpoint)
        return answers

    def prompt_logprobs(self, token_ids: list[int]) -> list[list[float]]:
        """Those of all tokens but the first, by each server that has the weights; [] of one that has none."""
        return [prompt_logprobs(e.url, e.model, token_ids) for e in self.endpoints if e.url not in self.lost]

    def _revived(self, endpoint: Endpoint) -> Endpoint:
        """The server, if it still has the weights; else it is lost until the next update."""
        try:
            return _still_holding(endpoint, self.version)
        except EndpointError as e:
            self._lose(endpoint.url, e)
            raise

    def _check_after(self, endpoint: Endpoint) -> None:
        """One that is lost, or gone by now, answered with the weights it had before."""
        try:
            held = "" if endpoint.url in self.lost else weight_version(endpoint.url)
        except EndpointError:
            return
        if held not in ("", self.version):
            raise ModelError(
                f"{endpoint.url}: answered with weights {held!r}, was given {self.version!r}",
                "another training uses this server, or it was started anew: these answers are thrown away",
            )

    def _holds(self, endpoint: Endpoint) -> bool:
        """Whether the server has the weights of the last update; else it is lost until the next."""
        with suppress(EndpointError):
            self._revived(endpoint)
        return endpoint.url not in self.lost

    def _lose(self, url: str, error: EndpointError) -> None:
        if url not in self.lost:
            print(f"goes on without server {url}: {error.args[0]}", flush=True)
        self.lost[url] = error

    def close(self) -> None:
        """The servers are their owner's."""
        self.way.close()


def _still_holding(endpoint: Endpoint, version: str) -> Endpoint:
    """The server, if it answers again soon and was not started anew meanwhile: that one would have other weights."""
    end, told = time.monotonic() + DOWN_S, ""
    while time.monotonic() < end:
        try:
            found = weight_version(endpoint.url)
        except EndpointError as e:
            told = str(e.args[0])
            time.sleep(DOWN_S / 20)
            continue
        if found in ("", version):  # a server may not tell
            return endpoint
        told = f"{endpoint.url}: has weights {found!r}, not {version!r}: started anew, or another training's too"
        break
    raise EndpointError(
        f"an engine died: {told}", "the last saved state is kept: see the server's log, then run again to continue"
    )


def shared_out(
    requests: list[CompletionRequest],
    answers: Callable[[list[CompletionRequest]], list[list[Completion]]],
    rank: int,
    world: int,
) -> list[list[Completion]]:
    """Every rank answers its share; all answers on each, in the order of the requests."""
    mine = answers(requests[rank::world])
    if world == 1:
        return mine
    parts: list[Any] = [None] * world
    dist.all_gather_object(parts, mine)
    return [parts[i % world][i // world] for i in range(len(requests))]


class InProcessEngine:
    """vLLM in this process; each rank answers its share of the requests."""

    def __init__(self, folder: Path, dtype: str, rank: int, world: int, bucket_bytes: int = 256 << 20) -> None:
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # else the engine is a process of its own
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        from vllm import LLM

        self.rank, self.world, self.bucket_bytes = rank, world, bucket_bytes
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        # on CPU vLLM would take a share of the machine's memory, on a GPU the trainer needs the rest
        place: dict[str, Any] = {"gpu_memory_utilization": 0.3}
        if not torch.cuda.is_available():  # eager and whole prefills as in the server's VLLM_FLAGS
            place = {"kv_cache_memory_bytes": CPU_CACHE_BYTES, "enforce_eager": True, "enable_chunked_prefill": False}
        if world > 1:
            place["distributed_executor_backend"] = "external_launcher"
        self.llm = LLM(
            str(folder),
            dtype=dtype,
            logprobs_mode="processed_logprobs",
            worker_extension_cls="training.vllm_ext.WorkerExtension",
            weight_transfer_config={"backend": "r1"},
            generation_config="vllm",
            **place,
        )
        self.llm.init_weight_transfer_engine({"init_info": {}})

    def load(self, weights: Weights, version: str) -> None:
        """The server's update, by calls; the worker is in this process and takes the tensors themselves."""
        from training.vllm_ext import HANDED

        self.llm.start_weight_update()
        for bucket in buckets(weights, self.bucket_bytes):
            HANDED.append(dict(bucket))
            bucket.clear()
            self.llm.update_weights({"update_info": {"handed": True}})
        self.llm.finish_weight_update(weight_version=version)
        self.llm.reset_prefix_cache()

    def complete(self, requests: list[CompletionRequest], decoding: Decoding) -> list[list[Completion]]:
        """Every rank its share, gathered."""
        return shared_out(requests, partial(self._answers, decoding=decoding), self.rank, self.world)

    def _answers(self, requests: list[CompletionRequest], decoding: Decoding) -> list[list[Completion]]:
        from vllm import SamplingParams

        drawn = {
            "temperature": decoding.temperature,
            "top_p": decoding.top_p,
            "max_tokens": decoding.max_tokens,
            "logprobs": 0 if decoding.logprobs else None,
            "skip_special_tokens": False,
            "spaces_between_special_tokens": False,
        }
        told = [SamplingParams(n=r.n, seed=r.seed, **drawn) for r in requests]
        outputs = self.llm.generate([r.prompt for r in requests], told, use_tqdm=False)
        return [[_completion(child, len(o.prompt_token_ids)) for child in o.outputs] for o in outputs]

    def close(self) -> None:
        """Ends the process group too."""
        self.llm.llm_engine.engine_core.shutdown()


def _completion(child: Any, prompt_tokens: int) -> Completion:
    ids = tuple(child.token_ids)
    logprobs = tuple(step[token].logprob for step, token in zip(child.logprobs or (), ids, strict=False))
    return Completion(child.text, ids, logprobs, child.finish_reason or "unknown", prompt_tokens, len(ids))
