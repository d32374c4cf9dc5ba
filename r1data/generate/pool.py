"""Recorded answers: immutable Parquet parts in the lake, keyed by content. A run asks only for what is not there.

Invariant: a candidate once flushed never changes; whoever reads takes the first of two with the same key.
"""

import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import polars as pl
import pyarrow as pa

from r1data.errors import NoSuchObject
from r1data.generate.client import Completion
from r1data.generate.sampling import Identity, Prompt
from r1data.storage import Lake
from schemas import TABLES

CANDIDATES = TABLES["candidates"]
SMALL_ROWS = 10_000
MERGED_ROWS = 50_000
MANY_PARTS = 32


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


@dataclass(frozen=True)
class Pool:
    """The answers of one model under one sampling and template: CANDIDATES in parts, named by the time of writing."""

    lake: Lake
    identity: Identity
    model: Author

    def names(self) -> list[str]:
        """The parts."""
        return [n for n in self.lake.names(self.identity.pool) if n.endswith(".parquet")]

    def tables(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """Part after part, so that memory holds one."""
        yield from part_tables(self.lake, self.identity, columns)

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Write one part; when this returns its candidates are paid for and kept."""
        table = CANDIDATES.conform(pa.Table.from_pylist(rows, schema=CANDIDATES.schema))
        self.lake.write_table(f"{self.identity.pool}/part-{time.time_ns():020}-{uuid.uuid4().hex[:8]}.parquet", table)

    def row(self, prompt: Prompt, index: int, answer: Completion, ms: float) -> dict[str, Any]:
        """A CANDIDATES row: `index` counts the prompt's samples, `ms` is since the run began."""
        return {
            "candidate_id": self.identity.candidate_id(prompt.text, index),
            "problem_id": prompt.problem_id,
            "prompt": prompt.text,
            "completion": answer.text,
            "sample_index": index,
            "seed": self.identity.seed(prompt.text, index),
            "prompt_tokens": answer.prompt_tokens,
            "completion_tokens": answer.tokens,
            "finish_reason": answer.finish_reason,
            "model": self.model.name,
            "model_digest": self.model.digest,
            "sampling_digest": self.identity.sampling_digest,
            "template_digest": self.identity.template_digest,
            "logprobs": list(answer.logprobs) or None,
            "latency_ms": ms,
        }

    def compact(self) -> None:
        """Many small parts become few large ones, sorted by key; for the one who has the lease.

        The large part is there before the small ones go: a candidate may be there twice, never not at all.
        """
        if len(names := self.names()) < MANY_PARTS:
            return
        held: list[tuple[str, pa.Table]] = []
        for name in names:
            table = _whole(self.lake.read_table(name))
            if table.num_rows < SMALL_ROWS:
                held.append((name, table))
            if sum(t.num_rows for _, t in held) >= MERGED_ROWS:
                self._merge(held)
                held = []
        self._merge(held)

    def _merge(self, parts: Sequence[tuple[str, pa.Table]]) -> None:
        if len(parts) < 2:
            return
        frame = pl.DataFrame(pa.concat_tables([t for _, t in parts])).unique("candidate_id", keep="first")
        table = CANDIDATES.conform(frame.sort("candidate_id").to_arrow())
        # as old as its oldest, so that the first answer of a candidate stays the first
        age = parts[0][0].rsplit("/", 1)[-1].split("-")[1].removesuffix(".parquet")
        self.lake.write_table(f"{self.identity.pool}/part-{age}-{uuid.uuid4().hex[:8]}.parquet", table)
        for name, _ in parts:
            self.lake.delete(name)


def part_tables(lake: Lake, identity: Identity, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """Part after part, the oldest first; what another process merges meanwhile is read from the merged part."""
    seen: set[str] = set()
    while fresh := [n for n in lake.names(identity.pool) if n.endswith(".parquet") and n not in seen]:
        for name in fresh:
            seen.add(name)
            with suppress(NoSuchObject):
                yield lake.read_table(name, columns=columns) if columns else _whole(lake.read_table(name))


def _whole(table: pa.Table) -> pa.Table:
    """CANDIDATES; parts written before there were log-probs have none."""
    if "logprobs" not in table.column_names:
        kind = CANDIDATES.schema.field("logprobs").type
        table = table.append_column("logprobs", pa.nulls(table.num_rows, kind))
    return CANDIDATES.conform(table)
