"""Time and memory of Great Expectations beside the gate and the commit of rows of 4 kB.

python -m benchmarks.expectations [CANDIDATES ...]     (100000 1000000: eight minutes or so; 10 GB of scratch)

Candidates, verdicts and measures are made up; the gate drops one in ten for repetition, the rest become examples. Each
size runs in a process of its own; then each dataset is checked again in a fresh one, whose peak memory is told.
"""

import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from benchmarks.million import sums
from r1data.checks.expectations import validate
from r1data.manifest import Manifest, Rows
from r1data.refs import resolve
from r1data.runner import Runner
from r1data.stages.sampling import GENERATE, NoParams
from r1data.step import Node, Step
from r1data.steps.examples import REASONING
from r1data.steps.gates import GATE, DropsParams
from r1data.storage import Lake
from schemas import TABLES

SAMPLES, SHARD, CHUNK, CHARACTERS = 16, 16_384, 100, 4_000
SIZES = (100_000, 1_000_000)
CHECKED = ("candidates", "verdicts", "measures", "drops", "examples")
SHARE, LIMIT_MIB = 0.25, 1024


class Services:
    """Made-up candidates, and the checks, timed."""

    def __init__(self, lake: Lake) -> None:
        self.lake, self.seconds = lake, 0.0

    def call(self, node: Node, key: str, inputs: Mapping[str, Manifest]) -> Iterator[pl.DataFrame]:
        """Sixteen candidates of every problem."""
        rng = random.Random(0)
        words = ["".join(rng.choices("abcdefghijklmnop     ", k=CHUNK)) for _ in range(4_096)]
        number = inputs["problems"].rows * SAMPLES
        for start in range(0, number, SHARD):
            places = range(start, min(start + SHARD, number))
            texts = ["".join(rng.choices(words, k=CHARACTERS // CHUNK)) for _ in places]
            yield filled(
                "candidates",
                candidate_id=[f"{i:032x}" for i in places],
                problem_id=[f"p{i // SAMPLES:08}" for i in places],
                sample_index=[i % SAMPLES for i in places],
                prompt="User: 1+1=? Assistant: ",
                completion=texts,
                finish_reason="stop",
                model_digest="m",
            )

    def train(self, node: Node, key: str, inputs: Mapping[str, Manifest]) -> None:
        """Not here."""

    def check(self, node: Node, rows: Rows) -> tuple[dict[str, object], ...]:
        """The table's suite."""
        at = time.perf_counter()
        found = validate(rows)
        self.seconds = time.perf_counter() - at
        return found


def filled(table: str, **columns: Any) -> pl.DataFrame:
    """A table of these columns, an empty value of its type in every other."""
    schema = TABLES[table].schema
    empty = {f.name: None if f.nullable else "" if pa.types.is_large_string(f.type) else 0 for f in schema}
    rows = pl.DataFrame({k: v for k, v in columns.items() if isinstance(v, list | pl.Series)})
    fixed = {k: v for k, v in {**empty, **columns}.items() if k not in rows.columns}
    frame = rows.with_columns(**{k: pl.lit(v) for k, v in fixed.items()})
    return (
        pl.DataFrame(schema.empty_table())
        .select(schema.names)
        .clear()
        .vstack(frame.select(pl.col(n).cast(t) for n, t in pl.DataFrame(schema.empty_table()).schema.items()))
    )


def verdicts(*, params: NoParams, candidates: pl.DataFrame) -> pl.DataFrame:
    """All are right."""
    about = {c: candidates[c] for c in ("candidate_id", "problem_id")}
    return filled("verdicts", **about, verdict="correct", tier="exact")


def measures(*, params: NoParams, candidates: pl.DataFrame) -> pl.DataFrame:
    """One in ten repeats itself."""
    about = {c: candidates[c] for c in ("candidate_id", "problem_id")}
    loop = [0.9 if i % 10 == 0 else 0.1 for i in range(candidates.height)]
    told = {"format_ok": True, "language_consistency": 1.0, "characters": CHARACTERS, "longest_paragraph": CHUNK}
    told |= {"units_en": CHARACTERS // 5, "units_zh": 0, "code_fence_open": False, "truncated": False}
    return filled("measures", **about, repetition=loop, language="en", **told)


def graph(number: int) -> list[Node]:
    """From problems to examples."""
    problems = Step("sums", "1", "reduce", TABLES["problems"], lambda params: sums(params=params, number=number))
    of, gone = {"candidates": "candidates"}, {"candidates": "candidates", "drops": "drops", "problems": "problems"}
    three = {t: t for t in ("candidates", "verdicts", "measures")}
    return [
        Node("problems", "bench", problems, NoParams()),
        Node("candidates", "bench", GENERATE, NoParams(), {"problems": "problems"}),
        Node("verdicts", "bench", Step("v", "1", "map", TABLES["verdicts"], verdicts), NoParams(), of),
        Node("measures", "bench", Step("m", "1", "map", TABLES["measures"], measures), NoParams(), of),
        Node("drops", "bench", GATE, DropsParams(keep_per_problem=SAMPLES), three),
        Node("examples", "bench", REASONING, NoParams(), gone, frozenset({"problems"})),
    ]


def one_size(number: int, folder: Path) -> None:
    """Run all nodes; a line for each, and the share of the checks in gate and commit."""
    lake = Lake.open(str(folder))
    services = Services(lake)
    runner = Runner(lake, "bench", services, report=lambda _: None)
    checks = others = 0.0
    for node in graph(number // SAMPLES):
        at = time.perf_counter()
        rows = runner.run(node)[0].rows
        took = time.perf_counter() - at
        print(f"{rows:>9,} {node.name:<10}: {took:6.1f} s, of these checks {services.seconds:5.1f} s", flush=True)
        if node.name in ("drops", "examples"):
            checks, others = checks + services.seconds, others + took - services.seconds
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"gate and commit {others:.1f} s, checks {checks:.1f} s: {checks / others:.0%} (asked: {SHARE:.0%} at most)")
    print(f"peak of the whole {peak:,.0f} MiB")


def one_check(name: str, folder: Path) -> None:
    """Check one dataset; time and peak memory of a process that does nothing else."""
    lake = Lake.open(str(folder))
    import great_expectations  # noqa: F401  # its import is not timed: a run does it once

    at = time.perf_counter()
    validate(Rows.of(lake, resolve(lake, f"bench/{name}")))
    took, peak = time.perf_counter() - at, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"  check of {name:<10}: {took:5.1f} s, peak {peak:,.0f} MiB (asked: {LIMIT_MIB:,} at most)", flush=True)


def main(arguments: list[str]) -> None:
    """Every size, and every check, in a process of its own."""
    told = os.environ.get("R1_BENCH")
    if told:
        what, place = told.split("|")
        one_size(int(what), Path(place)) if what.isdigit() else one_check(what, Path(place))
        return
    for size in [int(a) for a in arguments] or SIZES:
        folder = Path(tempfile.mkdtemp(prefix=f"expectations-{size}-"))
        for what in (str(size), *CHECKED):
            env = {**os.environ, "R1_BENCH": f"{what}|{folder}"}
            subprocess.run([sys.executable, "-m", "benchmarks.expectations"], env=env, check=True)
        shutil.rmtree(folder)


if __name__ == "__main__":
    main(sys.argv[1:])
