"""Candidates of a model for prompts, complete: recorded ones first, the missing ones asked for, as sorted shards."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from r1data.errors import ContextOverflow
from r1data.generate.pool import Author, Pool
from r1data.generate.router import Backend, Router
from r1data.generate.sampler import Judge, Sampler
from r1data.generate.sampling import Identity, Prompt
from r1data.generate.shards import sorted_shards
from r1data.lease import lease
from r1data.progress import Progress, Watch
from r1data.sampling_params import SamplingParams
from r1data.spending import Spending, budget_exhausted
from r1data.storage import Lake

Servers = Callable[[], AbstractContextManager[Sequence[Backend]]]


@dataclass(frozen=True)
class Desk:
    """What every node that asks a model shares: the lake, where to spill, the money, who is told."""

    lake: Lake
    scratch: Path
    report: Callable[[str], None]
    watch: Watch = lambda _: None
    spending: Spending = field(default_factory=Spending)
    in_flight: int = 1024
    down_s: float = 300.0
    stalled_s: float = 600.0
    wait_for_lease: bool = True
    own_devices: bool = True
    stopped: threading.Event = field(default_factory=threading.Event)


def candidates(
    desk: Desk,
    servers: Servers,
    model: Author,
    prompts: Sequence[Prompt],
    sampling: SamplingParams,
    template_digest: str,
    *,
    node: str = "",
    judge: Judge | None = None,
) -> Iterator[pl.DataFrame]:
    """CANDIDATES of every prompt in shards that split no problem; servers are asked for only if any is missing.

    Raises `BudgetExhausted` when the money is spent and `ContextOverflow` for prompts that are too long: both after all
    that was answered is recorded, so that the next run goes on from there.
    """
    pool = Pool(desk.lake, Identity(model.digest, sampling.digest(), template_digest), model)
    with lease(desk.lake, pool.identity.pool, desk.report, wait=desk.wait_for_lease, stopped=desk.stopped):
        progress = Progress(node)
        sampler = Sampler(pool, prompts, sampling, judge, progress, desk.watch, desk.spending, desk.in_flight)
        sampler.own_devices, sampler.stopped = desk.own_devices, desk.stopped
        sampler.load()
        if sampler.remains and not sampler.spent():
            with servers() as backends:
                asyncio.run(_run(sampler, Router(backends, desk.down_s, desk.stalled_s)))
            pool.compact()
        _complete(sampler, node)
        yield from sorted_shards(pool.tables(), sampler.taken(), desk.scratch)


async def _run(sampler: Sampler, router: Router) -> None:
    async with router:
        await sampler.run(router)


def _complete(sampler: Sampler, node: str) -> None:
    """Nothing is published of a sampling that did not end."""
    if reason := sampler.spent():
        raise budget_exhausted(node, reason, sampler.progress)
    refused = [t for t in sampler.turns.values() if t.refused]
    if refused:
        told = f"{node}: {len(refused)} of {len(sampler.turns)} prompts do not fit the model's context, the others are"
        first = refused[0]
        raise ContextOverflow(
            f"{told} recorded; e.g. problem {first.prompt.problem_id}: {first.refused}",
            "raise the server's --max-model-len, lower max_tokens, or leave these problems out",
        )
