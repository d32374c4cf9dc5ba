"""Rollouts of one reinforcement-learning step: asked once, written down before they are used, replayed on resume."""

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from r1data.digest import seed_from
from r1data.errors import EndpointError, StageFailed, boundary
from r1data.generate.client import Completion, CompletionRequest
from r1data.rewards.kinds import VERIFIED
from r1data.training_params import GrpoParams


@dataclass(frozen=True)
class Ask:
    """One prompt of a step and what its completions are graded against."""

    problem_id: str
    prompt: str
    answer: str
    language: str
    kind: str

    @property
    def general(self) -> bool:
        """Graded by a reward model, not by rules."""
        return self.kind not in VERIFIED


@dataclass
class Sample:
    """One completion with what was found out about it; reward None: undecided; no log-probs: the engine gave none."""

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
    weights: int = 0  # training steps behind the weights that it was sampled with
    kl: float | None = None  # estimate over the completion in nats, where the recipe has it in the reward


RECORD = pa.schema(
    [
        ("ask", pa.int64()),
        ("index", pa.int64()),
        ("seed", pa.int64()),
        ("text", pa.string()),
        ("token_ids", pa.list_(pa.int64())),
        ("logprobs", pa.list_(pa.float64())),
        ("finish_reason", pa.string()),
        ("reward", pa.float64()),
        ("components", pa.string()),
        ("verdict", pa.string()),
        ("format_ok", pa.bool_()),
        ("consistency", pa.float64()),
        ("reflection_words", pa.int64()),
        ("weights", pa.int64()),
        ("kl", pa.float64()),
    ]
)


def requests_of(asks: list[Ask], params: GrpoParams, step: int, first: int = 0) -> list[CompletionRequest]:
    """`group` completions of every prompt, seeded by step and problem; `first` prompts of the step came before."""
    return [
        CompletionRequest(a.prompt, params.group, seed_from(params.seed, step, i, a.problem_id) >> 1, str(i))
        for i, a in enumerate(asks, first)
    ]


def samples_of(requests: list[CompletionRequest], answers: list[list[Completion]], weights: int = 0) -> list[Sample]:
    """The answers, drawn with the weights after so many steps, as samples.

    `EndpointError` where the engine gave no token ids, or a group is not whole.
    """
    for request, group in zip(requests, answers, strict=True):
        if len(group) != request.n:
            raise EndpointError(
                f"rollouts: {len(group)} completions of prompt {request.tag}, asked for {request.n}",
                "groups must be whole: look at the server's log; nothing of this step was kept",
            )
    return [
        replace(_sample(int(request.tag), k, request.seed + k, c), weights=weights)
        for request, group in zip(requests, answers, strict=True)
        for k, c in enumerate(group)
    ]


def _sample(ask: int, index: int, seed: int, c: Completion) -> Sample:
    if not c.token_ids or (c.logprobs and len(c.logprobs) != len(c.token_ids)):
        raise EndpointError(
            f"rollouts: a completion of {len(c.token_ids)} token ids and {len(c.logprobs)} log-probs",
            "training needs a server that returns token ids (vLLM's return_token_ids)",
        )
    return Sample(ask, index, seed, c.text, list(c.token_ids), list(c.logprobs), c.finish_reason)


def rollouts_file(scratch: Path, step: int) -> Path:
    """Where the samples of a step are written down."""
    return scratch / "rollouts" / f"step-{step:06d}.parquet"


def save_rollouts(path: Path, samples: list[Sample]) -> None:
    """Write a step's samples down, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}")
    rows = [{**vars(s), "components": json.dumps(s.components)} for s in samples]
    with beside.open("wb") as f:
        pq.write_table(pa.Table.from_pylist(rows, schema=RECORD), f, compression="zstd")
        f.flush()
        os.fsync(f.fileno())
    beside.replace(path)


def load_rollouts(path: Path) -> list[Sample] | None:
    """The samples of a step, if they were written down; by the step's own weights where none are named."""
    if not path.exists():
        return None
    with boundary(StageFailed, f"{path}: recorded rollouts do not load", "delete the file: the step is asked again"):
        rows = pq.read_table(path).to_pylist()
    own = {"weights": int(path.stem.rpartition("-")[2])}
    return [Sample(**{**own, **r, "components": json.loads(r["components"])}) for r in rows]
