"""A program to kill: `python -m tests.generating LAKE SCRATCH ENGINE LOG OUT [SERVER ARGUMENTS]`.

It samples candidates of the lake's one checkpoint, writes every request and answer to LOG as it comes, and the finished
shards to OUT. It flushes far more often than the product does, so that a run of seconds has many parts.
"""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import aiohttp
import polars as pl
import pyarrow as pa

from r1data.cluster_params import EngineParams
from r1data.digest import digest_bytes
from r1data.endpoint import Endpoint, ask
from r1data.generate import pool, recorder, router, sampler
from r1data.generate.candidates import Desk, candidates
from r1data.generate.fleet import Fleet
from r1data.generate.pool import Pool
from r1data.generate.sampler import Answered, Outcome
from r1data.generate.sampling import Identity, Prompt
from r1data.generate.server import Engine
from r1data.manifest import Manifest
from r1data.sampling_params import SamplingParams
from r1data.storage import Lake
from schemas import TABLES

PROMPTS = [Prompt(f"p{i:02d}", f"User: {10 + i}+23=?\nAssistant:\n") for i in range(60)]
SAMPLING = SamplingParams(samples=4, stop_at=4, max_samples=32, temperature=1.0, max_tokens=48)
MANIFEST = "checkpoint.json"
PART_ROWS, PART_SECONDS, TICK_S, MANY_PARTS = 50, 0.3, 0.1, 16


def judge(answered: Sequence[Answered]) -> list[Outcome]:
    """A quarter of all answers is right, whatever the model says."""
    return [Outcome(accepted=digest_bytes(a.completion.encode())[0] in "0123") for a in answered]


def recorded(pool: Pool) -> pl.DataFrame:
    """CANDIDATES: every one of a pool, each once."""
    parts = list(pool.tables())
    frame = pl.DataFrame(pa.concat_tables(parts) if parts else TABLES["candidates"].empty())
    return frame.unique("candidate_id", keep="first", maintain_order=True)


def pool_of(lake: Lake) -> Pool:
    """Where the candidates are recorded."""
    model = Manifest.model_validate_json(lake.read(MANIFEST))
    return Pool(lake, Identity(model.digest, SAMPLING.digest(), "t"), model)


def sample(lake: Lake, scratch: Path, engine: Engine, out: Path, arguments: Sequence[str]) -> None:
    """The whole run."""
    model = Manifest.model_validate_json(lake.read(MANIFEST))
    params = EngineParams(arguments=tuple(arguments))
    with Fleet(lake, scratch, sys.executable, engine, params=params, report=print) as fleet:
        desk = Desk(lake, scratch, print, in_flight=128)
        shards = candidates(desk, lambda: fleet.hold(model), model, PROMPTS, SAMPLING, "t", judge=judge)
        pl.concat(shards).write_parquet(out)


def main() -> None:
    """As the command line says."""
    lake, scratch, engine, log, out, *arguments = sys.argv[1:]
    told = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(kind: str, payload: dict[str, Any]) -> None:
        os.write(told, f"{time.monotonic()} {kind} {payload['seed']} {payload['n']}\n".encode())

    async def logged(
        session: aiohttp.ClientSession, endpoint: Endpoint, path: str, payload: dict[str, Any]
    ) -> dict[str, Any]:
        write("asked", payload)
        found = await ask(session, endpoint, path, payload)
        write("answered", payload)
        return found

    often = patch.multiple(recorder, PART_ROWS=PART_ROWS, PART_SECONDS=PART_SECONDS)
    with (
        often,
        patch.object(sampler, "TICK_S", TICK_S),
        patch.object(pool, "MANY_PARTS", MANY_PARTS),
        patch.object(router, "ask", logged),
    ):
        sample(Lake.open(lake), Path(scratch), "fake" if engine == "fake" else "vllm", Path(out), arguments)


if __name__ == "__main__":
    main()
