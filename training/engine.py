"""Where rollouts come from: a vLLM server that rank 0 asks, or vLLM inside every rank's own process.

Both take the weights through the same update of `vllm_ext` and the same seeds: a rollout is the same either way.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.distributed as dist
from safetensors.torch import save_file

from r1data.digest import row_id
from r1data.endpoint import Endpoint
from r1data.errors import ModelError
from r1data.generate.client import Completion, CompletionRequest, Decoding, completions
from r1data.generate.weights import prompt_logprobs, update_weights, weight_version

Weights = dict[str, torch.Tensor]
CPU_CACHE_BYTES = 256 << 20


class Engine(Protocol):
    """Samples from the weights it was given last."""

    def load(self, weights: Weights, version: str) -> None:
        """Take new weights; called on every rank."""
        ...

    def complete(self, requests: list[CompletionRequest], decoding: Decoding) -> list[list[Completion]]:
        """Children of every request, in their order; called on every rank, complete on rank 0."""
        ...

    def close(self) -> None:
        """Give back what it holds, before the process group ends."""
        ...


class ServerEngine:
    """A vLLM server; rank 0 alone talks to it."""

    def __init__(self, endpoint: Endpoint, scratch: Path, rank: int) -> None:
        self.endpoint, self.scratch, self.rank = endpoint, scratch, rank
        self.version = ""

    def load(self, weights: Weights, version: str) -> None:
        """Weights through a file that both processes see."""
        if self.rank == 0:
            with shared_file(weights, self.scratch, self.rank) as path:
                update_weights(self.endpoint.url, path, version)
        self.version = version

    def complete(self, requests: list[CompletionRequest], decoding: Decoding) -> list[list[Completion]]:
        """Asked over HTTP; `ModelError` where the server says afterwards that it has other weights."""
        if self.rank:
            return []
        answers = completions(self.endpoint, requests, decoding)
        held = weight_version(self.endpoint.url)
        if held not in ("", self.version):
            raise ModelError(
                f"{self.endpoint.url}: answered with weights {held!r}, was given {self.version!r}",
                "another training uses this server, or it was started anew: these answers are thrown away",
            )
        return answers

    def prompt_logprobs(self, token_ids: list[int]) -> list[float]:
        """Those of all tokens but the first; [] where the server has none."""
        return prompt_logprobs(self.endpoint.url, self.endpoint.model, token_ids)

    def close(self) -> None:
        """The server is its owner's."""


class InProcessEngine:
    """vLLM in this process; each rank answers its share of the requests."""

    def __init__(self, folder: Path, dtype: str, scratch: Path, rank: int, world: int) -> None:
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # else the engine is a process of its own
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        from vllm import LLM

        self.scratch, self.rank, self.world = scratch, rank, world
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
            weight_transfer_config={"backend": "shm"},
            generation_config="vllm",
            **place,
        )
        self.llm.init_weight_transfer_engine({"init_info": {}})

    def load(self, weights: Weights, version: str) -> None:
        """The server's update, by calls."""
        with shared_file(weights, self.scratch, self.rank) as path:
            self.llm.start_weight_update()
            self.llm.update_weights({"update_info": {"path": str(path)}})
            self.llm.finish_weight_update(weight_version=version)
        self.llm.reset_prefix_cache()

    def complete(self, requests: list[CompletionRequest], decoding: Decoding) -> list[list[Completion]]:
        """Every rank its share, gathered."""
        mine = self._answers(requests[self.rank :: self.world], decoding)
        if self.world == 1:
            return mine
        parts: list[Any] = [None] * self.world
        dist.all_gather_object(parts, mine)
        return [parts[i % self.world][i // self.world] for i in range(len(requests))]

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
        """Before `destroy_process_group`, which otherwise ends with an error."""
        self.llm.llm_engine.engine_core.shutdown()


def _completion(child: Any, prompt_tokens: int) -> Completion:
    ids = tuple(child.token_ids)
    logprobs = tuple(step[token].logprob for step, token in zip(child.logprobs or (), ids, strict=False))
    return Completion(child.text, ids, logprobs, child.finish_reason or "unknown", prompt_tokens, len(ids))


@contextmanager
def shared_file(weights: Weights, scratch: Path, rank: int) -> Iterator[Path]:
    """Weights as a safetensors file, in memory where the machine has it; gone afterwards."""
    memory = Path("/dev/shm")
    path = (memory if memory.is_dir() else scratch) / f"r1-weights-{row_id(str(scratch))}-{rank}.safetensors"
    try:
        save_file({n: w.contiguous() for n, w in weights.items()}, str(path))
        yield path
    finally:
        path.unlink(missing_ok=True)
