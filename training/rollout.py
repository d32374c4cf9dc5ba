"""Rollouts of one reinforcement-learning step: asked once, written down before they are used, replayed on resume."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from r1data.digest import row_id, seed_from
from r1data.endpoint import Endpoint
from r1data.generate.client import CompletionRequest, Decoding, completions
from r1data.generate.weights import update_weights
from r1data.training_params import GrpoParams


@dataclass(frozen=True)
class Ask:
    """One prompt of a step and what its completions are graded against."""

    problem_id: str
    prompt: str
    answer: str
    language: str
    kind: str


@dataclass
class Sample:
    """One completion with what was found out about it; reward None: undecided."""

    ask: int
    index: int
    seed: int
    text: str
    token_ids: list[int]
    logprobs: list[float]
    finish_reason: str
    reward: float | None = None
    components: dict[str, float] | None = None
    verdict: str = ""
    format_ok: bool = False
    consistency: float | None = None
    reflection_words: int = 0


def shared_folder(scratch: Path) -> Path:
    """Memory where the machine has it, so that weights never touch a disk."""
    memory = Path("/dev/shm")
    return memory if memory.is_dir() else scratch


def push_weights(weights: dict[str, torch.Tensor], endpoint: Endpoint, scratch: Path, version: str) -> None:
    """Load weights into the server through a file that both processes see."""
    path = shared_folder(scratch) / f"r1-weights-{row_id(str(scratch))}.safetensors"
    try:
        save_file({n: w.cpu().contiguous() for n, w in weights.items()}, str(path))
        update_weights(endpoint.url, path, version)
    finally:
        path.unlink(missing_ok=True)


def rollouts(asks: list[Ask], params: GrpoParams, endpoint: Endpoint, step: int) -> list[Sample]:
    """`group` completions of every prompt, seeded by step and problem, in the order of the prompts."""
    requests = [
        CompletionRequest(a.prompt, params.group, seed_from(params.seed, step, a.problem_id) >> 1, str(i))
        for i, a in enumerate(asks)
    ]
    decoding = Decoding(params.temperature, params.top_p, params.max_tokens, logprobs=True)
    answers = completions(endpoint, requests, decoding)
    return [
        Sample(i, k, request.seed + k, c.text, list(c.token_ids), list(c.logprobs), c.finish_reason)
        for i, (request, group) in enumerate(zip(requests, answers, strict=True))
        for k, c in enumerate(group)
    ]


def save_rollouts(path: Path, samples: list[Sample]) -> None:
    """Write a step's samples down, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}")
    beside.write_text(json.dumps([asdict(s) for s in samples], ensure_ascii=False), encoding="utf-8")
    beside.replace(path)


def load_rollouts(path: Path) -> list[Sample] | None:
    """The samples of a step, if they were written down."""
    if not path.exists():
        return None
    rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return [Sample(**r) for r in rows]
