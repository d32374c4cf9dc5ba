"""Time and memory of a million candidates through generation, verdicts, measures, gates and commit.

python -m benchmarks.million [CANDIDATES ...]     (10000 100000 1000000: ten minutes or so) from the stand-in server

Each size runs in a process of its own, whose peak memory (ru_maxrss) is told; the server is another process.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from benchmarks.stand_in import MODEL, backends, start
from r1data.generate.candidates import Desk, candidates
from r1data.generate.sampling import Prompt
from r1data.generate.server import Server
from r1data.manifest import Manifest
from r1data.outcomes.rejection import judge_of
from r1data.runner import Runner
from r1data.sampling_params import SamplingParams
from r1data.stages.sampling import GENERATE, NoParams
from r1data.step import Node, Step
from r1data.steps.gates import GATE, DropsParams
from r1data.steps.measures import MEASURE
from r1data.storage import Lake
from r1data.verify.verdicts import VERIFY, VerifyParams
from schemas import TABLES

SAMPLES = 16
SIZES = (10_000, 100_000, 1_000_000)
LIMIT_MIB = 1536


class Services:
    """The stand-in server behind the runner; nothing is trained or checked."""

    def __init__(self, lake: Lake, server: Server, scratch: Path) -> None:
        self.desk, self.server = Desk(lake, scratch, print), server

    def call(self, node: Node, key: str, inputs: Mapping[str, Manifest]) -> Iterator[pl.DataFrame]:
        """Candidates of every problem."""
        problems = pl.concat(pl.DataFrame(self.desk.lake.read_table(s.path)) for s in inputs["problems"].shards)
        asked = problems.select("problem_id", "question").iter_rows()
        prompts = [Prompt(p, f"User: {question} Assistant: ") for p, question in asked]
        sampling = SamplingParams(samples=SAMPLES, temperature=1.0, max_tokens=200)
        servers = nullcontext(backends(self.server))
        return candidates(self.desk, lambda: servers, MODEL, prompts, sampling, "t", judge=judge_of(problems, None))

    def train(self, node: Node, key: str, inputs: Mapping[str, Manifest]) -> None:
        """Not here."""

    def check(self, node: Node, rows: Callable[[], pa.Table]) -> tuple[dict[str, object], ...]:
        """Not here."""
        return ()


def sums(*, params: NoParams, number: int) -> pl.DataFrame:
    """PROBLEMS, that many."""
    schema = TABLES["problems"].schema
    empty: dict[str, Any] = {f.name: "" if pa.types.is_large_string(f.type) else 0 for f in schema}
    told = {"kind": "math", "language": "en", "split": "train"}
    rows = [
        {**empty, **told, "problem_id": f"p{i:08}", "question": f"{i}+{i % 89}=?", "answer": str(i + i % 89)}
        for i in range(number)
    ]
    return pl.DataFrame(pa.Table.from_pylist(rows, schema=schema))


def graph(number: int) -> list[Node]:
    """From the problems to the rows that leave."""
    problems = Step("sums", "1", "reduce", TABLES["problems"], lambda params: sums(params=params, number=number))
    about, whole = {"candidates": "c", "problems": "problems"}, frozenset({"problems"})
    three = {"candidates": "c", "verdicts": "v", "measures": "m"}
    return [
        Node("problems", "bench", problems, NoParams()),
        Node("c", "bench", GENERATE, NoParams(), {"problems": "problems"}),
        Node("v", "bench", VERIFY, VerifyParams(), about, whole),
        Node("m", "bench", MEASURE, NoParams(), about, whole),
        Node("drops", "bench", GATE, DropsParams(), three),
    ]


def one_size(number: int) -> None:
    """Run all nodes; one line."""
    folder = Path(tempfile.mkdtemp(prefix=f"million-{number}-"))
    server = start(folder / "model")
    lake = Lake.open(str(folder / "lake"))
    try:
        runner = Runner(lake, "bench", Services(lake, server, folder / "scratch"), report=lambda _: None)
        told, began = {}, time.perf_counter()
        for node in graph(number // SAMPLES):
            at = time.perf_counter()
            runner.run(node)
            told[node.name] = time.perf_counter() - at
        seconds = time.perf_counter() - began
    finally:
        server.stop()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    parts = ", ".join(f"{name} {took:.1f}" for name, took in told.items())
    each = 1e6 * seconds / number
    print(
        f"{number:>9,} candidates: {seconds:6.1f} s, {each:.0f} us each, peak {peak:,.0f} MiB   ({parts})", flush=True
    )
    assert runner.done["drops"].rows > 0, "something leaves"


def main(sizes: list[int]) -> None:
    """Every size in a process of its own."""
    if "R1_BENCH_SIZE" in os.environ:
        one_size(int(os.environ["R1_BENCH_SIZE"]))
        return
    for size in sizes:
        env = {**os.environ, "R1_BENCH_SIZE": str(size)}
        subprocess.run([sys.executable, "-m", "benchmarks.million"], env=env, check=True)
    print(f"peak at most {LIMIT_MIB:,} MiB and the same time for each at all sizes is what is asked")


if __name__ == "__main__":
    main([int(a) for a in sys.argv[1:]] or list(SIZES))
