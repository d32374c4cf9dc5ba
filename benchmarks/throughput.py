"""Tokens a second of one vLLM server on CPU with heavy-tailed lengths, by three drivers of the same requests, one run.

python -m benchmarks.throughput [PROMPTS]     (96; two minutes or three)

flat out     all requests sent at once, nothing recorded: what the server can do
shards       a shard of 256 candidates, wait for its longest, write it, the next: what most pipelines do
ours         `r1data.generate.sampler`, recording and judging included

Lengths: a tiny random model ends each answer with a probability of its prompt's own (a bias on the end token), drawn
from Gamma(1.5): geometric lengths mixed so are Lomax, that is Pareto-tailed. What came out is printed.
"""

import asyncio
import math
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import polars as pl
import torch
from transformers import Qwen2ForCausalLM

from r1data.endpoint import Endpoint
from r1data.generate.client import Completion, CompletionRequest, Decoding, complete
from r1data.generate.pool import Pool
from r1data.generate.router import Backend, Router
from r1data.generate.sampler import Answered, Outcome, Sampler
from r1data.generate.sampling import Identity, Prompt
from r1data.generate.server import SERVED_NAME, start_server
from r1data.manifest import Manifest
from r1data.progress import Progress
from r1data.sampling_params import SamplingParams
from r1data.spending import Spending
from r1data.storage import Lake
from r1data.training_params import ArchitectureParams
from training.pretrain import configuration
from training.tokens import trained_tokenizer

T = TypeVar("T")
SAMPLES = 16
SHARD = 256
SAMPLING = SamplingParams(samples=SAMPLES, temperature=1.0, max_tokens=400)
DECODING = Decoding(1.0, 1.0, SAMPLING.max_tokens)
MODEL = Manifest(kind="checkpoint", name="bench/m", path="data/m/k", key="k", step="s", version="1", digest="bench")
TEXTS = ["User: 23+45=?\nAssistant:\n<think>3 plus 5 is 8</think><answer>68</answer>"] * 30
MEAN_TOKENS = 48.0


class Biased(Router):
    """Every prompt has its own probability of the end token."""

    end, vocabulary = 0, 0

    async def post(self, path: str, payload: dict[str, Any], read: Callable[[dict[str, Any]], T]) -> T:
        """The same for whoever asks."""
        rate = random.Random(str(payload["prompt"])).gammavariate(1.5, 1 / (1.5 * MEAN_TOKENS / 2))
        odds = min(0.9, rate) / (1 - min(0.9, rate))
        bias = {str(self.end): math.log(odds * (self.vocabulary - 1))}
        return await super().post(path, {**payload, "logit_bias": bias}, read)


def tiny_model(folder: Path) -> tuple[int, int]:
    """A random model whose tokens are all about equally likely; its end token and the size of its vocabulary."""
    torch.manual_seed(0)
    tokenizer = trained_tokenizer(TEXTS)
    architecture = ArchitectureParams(
        hidden_size=64, intermediate_size=128, layers=2, heads=2, kv_heads=2, initializer_range=0.01
    )
    told = configuration(architecture, len(tokenizer))
    told.max_position_embeddings = 1024
    model = Qwen2ForCausalLM(told).eval()
    model.save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    return int(tokenizer.eos_token_id), len(tokenizer)


async def flat_out(router: Router, requests: Sequence[CompletionRequest], _: Lake) -> list[list[Completion]]:
    """Everything at once."""
    return await asyncio.gather(*(complete(router, r, DECODING) for r in requests))


async def by_shards(router: Router, requests: Sequence[CompletionRequest], lake: Lake) -> list[list[Completion]]:
    """Shard after shard, each waited for and written."""
    found: list[list[Completion]] = []
    for start in range(0, len(requests), SHARD // SAMPLES):
        asked = requests[start : start + SHARD // SAMPLES]
        shard = await asyncio.gather(*(complete(router, r, DECODING) for r in asked))
        lake.write_table(f"{start}.parquet", pl.DataFrame({"text": [c.text for x in shard for c in x]}).to_arrow())
        found += shard
    return found


async def ours(router: Router, requests: Sequence[CompletionRequest], lake: Lake) -> list[list[Completion]]:
    """The product's sampler: recorded, judged, told."""
    pool = Pool(lake, Identity("bench", SAMPLING.digest(), "t"), MODEL)
    prompts = [Prompt(f"p{i}", str(r.prompt)) for i, r in enumerate(requests)]
    sampler = Sampler(pool, prompts, SAMPLING, judge, Progress("bench"), lambda _: None, Spending(), 1024)
    sampler.load()
    await sampler.run(router)
    rows = pl.concat(pl.DataFrame(t) for t in pool.tables()).sort("prompt", "sample_index")
    counts = rows.group_by("prompt", maintain_order=True).agg("completion_tokens")["completion_tokens"].to_list()
    return [[Completion("", (), (), "", 0, n) for n in row] for row in counts]


def judge(answered: Sequence[Answered]) -> list[Outcome]:
    """Nothing is right."""
    return [Outcome() for _ in answered]


DRIVERS: dict[str, Callable[..., Any]] = {"flat out": flat_out, "shards": by_shards, "ours": ours}


def main(prompts: int) -> None:
    """Each driver three times in turn; the best of each, and the ratios."""
    folder = Path(tempfile.mkdtemp())
    Biased.end, Biased.vocabulary = tiny_model(folder / "model")
    server = start_server(folder / "model", "vllm", sys.executable, folder / "log")
    identity = Identity("bench", SAMPLING.digest(), "t")
    texts = sorted(f"User: {i}+{i * 7 % 90}=?\nAssistant:\n" for i in range(prompts))
    requests = [CompletionRequest(t, SAMPLES, identity.seed(t, 0), "0") for t in texts]
    rates: dict[str, list[float]] = {name: [] for name in DRIVERS}
    try:
        asyncio.run(_once(server.url, flat_out, requests[:8], folder))  # warm
        for turn in range(3):
            for name, driver in DRIVERS.items():
                tokens, seconds = asyncio.run(_once(server.url, driver, requests, folder / f"{turn}{name}"))
                rates[name].append(sum(tokens) / seconds)
                print(f"{name:10} {len(tokens)} candidates, {sum(tokens):,} tokens, {seconds:.1f} s", flush=True)
    finally:
        server.stop()
    _print_lengths(tokens)
    best = {name: max(found) for name, found in rates.items()}
    for name, rate in best.items():
        print(f"{name:10} {rate:,.0f} tokens/s")
    print(f"ours / flat out {best['ours'] / best['flat out']:.3f} (at least 0.95)")
    print(f"ours / shards   {best['ours'] / best['shards']:.2f} (at least 1.3)")


async def _once(
    url: str, driver: Callable[..., Any], requests: Sequence[CompletionRequest], folder: Path
) -> tuple[list[int], float]:
    async with Biased([Backend(Endpoint(url, SERVED_NAME))]) as router:
        started = time.perf_counter()
        found = await driver(router, requests, Lake.open(str(folder)))
        return [c.tokens for row in found for c in row], time.perf_counter() - started


def _print_lengths(tokens: list[int]) -> None:
    found = sorted(tokens)
    told = {f"{100 * q:g} %": found[round(q * (len(found) - 1))] for q in (0.1, 0.5, 0.9, 0.99)}
    share, mean = sum(found[-len(found) // 10 :]) / sum(found), sum(found) / len(found)
    print(f"lengths: mean {mean:.0f}, quantiles {told}, longest {found[-1]}; the longest tenth has {share:.0%} of all")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 96)
