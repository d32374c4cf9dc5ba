"""Recorded answers: immutable Parquet parts in the lake, keyed by content. A run asks only for what is not there.

Invariant: a candidate once flushed never changes and is never paid twice; a part is at most 1,000 candidates or 30 s.
"""

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import polars as pl
import pyarrow as pa

from r1data.endpoint import Endpoint
from r1data.generate.client import Completion, CompletionRequest, Decoding, completions
from r1data.generate.sampling import Identity, Prompt
from r1data.sampling_params import SamplingParams
from r1data.storage import Lake
from schemas import TABLES

PART_ROWS = 1_000
PART_SECONDS = 30.0
REPORT_SECONDS = 5.0
CANDIDATES = TABLES["candidates"]


class Author(Protocol):
    """Who answers: a checkpoint's manifest, or a model served elsewhere."""

    @property
    def name(self) -> str:
        """For people."""
        ...

    @property
    def digest(self) -> str:
        """What tells its answers from all others'."""
        ...


def recorded(lake: Lake, identity: Identity) -> pl.DataFrame:
    """Every recorded candidate of a model, sampling and template, each once."""
    parts = [lake.read_table(name) for name in lake.names(identity.pool) if name.endswith(".parquet")]
    frame = pl.DataFrame(pa.concat_tables(parts) if parts else CANDIDATES.empty())
    return frame.unique("candidate_id", keep="first", maintain_order=True)


def generate(
    lake: Lake,
    endpoint: Callable[[], Endpoint],
    model: Author,
    prompts: Sequence[Prompt],
    sampling: SamplingParams,
    template_digest: str,
    report: Callable[[str], None],
) -> pl.DataFrame:
    """CANDIDATES for every prompt and sample index; the endpoint is asked for (and started) only if any is missing."""
    identity = Identity(model.digest, sampling.digest(), template_digest)
    wanted = {identity.candidate_id(p.text, i): (p, i) for p in prompts for i in range(sampling.samples)}
    have = set(recorded(lake, identity)["candidate_id"])
    missing = [(p, i) for key, (p, i) in wanted.items() if key not in have]
    if missing:
        server = endpoint()  # may wait for its turn, which is no part of the rate that is told
        recorder = _Recorder(lake, identity, model, {p.text: p for p in prompts}, len(missing), report)
        decoding = Decoding(sampling.temperature, sampling.top_p, sampling.max_tokens)
        try:
            completions(server, _requests(identity, missing), decoding, on_done=recorder.take)
        finally:
            recorder.flush()
    frame = recorded(lake, identity).filter(pl.col("candidate_id").is_in(list(wanted)))
    assert frame.height == len(wanted), f"{frame.height} of {len(wanted)} candidates after generation"
    return frame


def _requests(identity: Identity, missing: list[tuple[Prompt, int]]) -> list[CompletionRequest]:
    """Runs of consecutive sample indices of a prompt become one request; its seed is that of the first."""
    requests: list[CompletionRequest] = []
    run: list[tuple[Prompt, int]] = []
    for prompt, index in [*missing, (Prompt("", ""), -1)]:
        if run and (prompt != run[-1][0] or index != run[-1][1] + 1):
            first, start = run[0]
            requests.append(CompletionRequest(first.text, len(run), identity.seed(first.text, start), str(start)))
            run = []
        run.append((prompt, index))
    return requests


@dataclass
class _Recorder:
    """Collects answers, flushes parts, reports progress."""

    lake: Lake
    identity: Identity
    model: Author
    prompts: dict[str, Prompt]
    expected: int
    report: Callable[[str], None]
    rows: list[dict[str, object]] = field(default_factory=list)
    done: int = 0
    tokens: int = 0
    started: float = field(default_factory=time.monotonic)
    flushed: float = field(default_factory=time.monotonic)
    told: float = field(default_factory=time.monotonic)

    def take(self, request: CompletionRequest, answers: list[Completion]) -> None:
        start = int(request.tag)
        now = time.monotonic()
        for offset, answer in enumerate(answers):
            self.rows.append(self._row(request, start + offset, offset, answer, (now - self.started) * 1000))
        self.done += len(answers)
        self.tokens += sum(a.tokens for a in answers)
        if len(self.rows) >= PART_ROWS or now - self.flushed >= PART_SECONDS:
            self.flush()
        if now - self.told >= REPORT_SECONDS or self.done == self.expected:
            self.told = now
            rate = self.done / max(1e-9, now - self.started)
            left = (self.expected - self.done) / rate
            speed = self.tokens / max(1e-9, now - self.started)
            self.report(f"  {self.done}/{self.expected} candidates, {speed:,.0f} tokens/s, {left:.0f} s left")

    def flush(self) -> None:
        if self.rows:
            table = CANDIDATES.conform(pa.Table.from_pylist(self.rows, schema=CANDIDATES.schema))
            self.lake.write_table(f"{self.identity.pool}/part-{uuid.uuid4().hex}.parquet", table)
            self.rows = []
        self.flushed = time.monotonic()

    def _row(
        self, request: CompletionRequest, index: int, offset: int, answer: Completion, latency: float
    ) -> dict[str, object]:
        return {
            "candidate_id": self.identity.candidate_id(request.prompt, index),
            "problem_id": self.prompts[request.prompt].problem_id,
            "prompt": request.prompt,
            "completion": answer.text,
            "sample_index": index,
            "seed": request.seed + offset,
            "prompt_tokens": answer.prompt_tokens,
            "completion_tokens": answer.tokens,
            "finish_reason": answer.finish_reason,
            "model": self.model.name,
            "model_digest": self.model.digest,
            "sampling_digest": self.identity.sampling_digest,
            "template_digest": self.identity.template_digest,
            "latency_ms": latency,
        }
