"""Would map shards gain by processes? The measures of some shards one after another, in two threads, in two processes.

python -m benchmarks.shard_pool [CHAINS A SHARD]    (a minute or two; 4,096 unless told)

Chains are those of `benchmarks.gate_stage`. Every way reads its shards from Parquet and gives back a frame, as runners
do; three rounds, the ways in turn, so that other work on the machine meets all of them. The best round is told.
"""

import random
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import polars as pl

from benchmarks.expectations import filled
from benchmarks.gate_stage import QUESTIONS, chain
from benchmarks.million import sums
from benchmarks.texts import held_out
from r1data.stages.sampling import NoParams
from r1data.steps.measures import MEASURE

SHARDS, WORKERS, ROUNDS, SAMPLES = 4, 2, 3, 16


def made(folder: Path, rows: int) -> list[Path]:
    """Shards of candidates, and the problems beside them."""
    rng, asked, paths = random.Random(0), held_out(QUESTIONS), []
    problems = sums(params=NoParams(), number=1 + SHARDS * rows // SAMPLES)
    problems.write_parquet(folder / "problems.parquet")
    ids = problems["problem_id"].to_list()
    for shard in range(SHARDS):
        places = range(shard * rows, (shard + 1) * rows)
        texts = [chain(rng, i, "", asked)[0] for i in places]
        about = {"candidate_id": [f"{i:032x}" for i in places], "problem_id": [ids[i // SAMPLES] for i in places]}
        frame = filled("candidates", **about, completion=texts, finish_reason="stop", completion_tokens=1_000)
        paths.append(folder / f"{shard}.parquet")
        frame.write_parquet(paths[-1])
    return paths


def measured(path: Path) -> tuple[pl.DataFrame, float]:
    """A shard's measures, and the CPU seconds of this process so far."""
    candidates, problems = pl.read_parquet(path), pl.read_parquet(path.with_name("problems.parquet"))
    assert MEASURE.run is not None, "a map step"
    result = MEASURE.run(params=NoParams(), candidates=candidates, problems=problems)
    assert isinstance(result, pl.DataFrame), "rows"
    return result, time.process_time()


def pooled(pool: Executor, paths: list[Path]) -> int:
    """Rows of all shards, by a pool."""
    return sum(frame.height for frame, _ in pool.map(measured, paths))


def main(rows: int) -> None:
    """The wall seconds of the three ways, and what threads and processes gain."""
    with tempfile.TemporaryDirectory(prefix="shard-pool-") as folder:
        paths = made(Path(folder), rows)
        measured(paths[0])  # kernels are compiled and loaded
        spawn = get_context("spawn")
        with ThreadPoolExecutor(WORKERS) as threads, ProcessPoolExecutor(WORKERS, mp_context=spawn) as processes:
            at = time.perf_counter()
            pooled(processes, paths)
            print(f"processes: {time.perf_counter() - at:.1f} s with their start, imports and kernels", flush=True)
            ways: dict[str, Callable[[], int]] = {
                "one after another": lambda: sum(measured(p)[0].height for p in paths),
                "two threads": lambda: pooled(threads, paths),
                "two processes": lambda: pooled(processes, paths),
            }
            best: dict[str, float] = {}
            for _ in range(ROUNDS):
                for name, way in ways.items():
                    at = time.perf_counter()
                    assert way() == SHARDS * rows
                    best[name] = min(best.get(name, float("inf")), time.perf_counter() - at)
    alone = best["one after another"]
    for name, seconds in best.items():
        print(f"{name:<18} {seconds:6.2f} s  {SHARDS * rows / seconds:8,.0f} chains/s  x {alone / seconds:.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 4_096)
