"""The whole gate stage over chains of 4 kB: measures, gates, contamination, near-duplicates, examples, every check.

python -m benchmarks.gate_stage [CHAINS ...]    (25000 50000 100000: five minutes or so; 1000000 needs 8 GB of scratch)

Chains and verdicts are made up, by a process of its own: reasoning in English with LaTeX and code; some mixed, in a
loop, torn, alike, cut off or with a benchmark question. The product's nodes then run in another process, whose CPU and
wall seconds and peak memory are told. Machines with other work on them: read the CPU seconds.
"""

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.expectations import filled
from benchmarks.million import sums
from benchmarks.texts import held_out, solutions
from r1data.checks.expectations import validate
from r1data.cleaning_params import DecontaminationParams, DedupParams
from r1data.gate_params import GateParams
from r1data.manifest import Manifest, Rows
from r1data.refs import resolve
from r1data.runner import Runner
from r1data.stages.gates import gated
from r1data.stages.sampling import GENERATE, NoParams
from r1data.step import Node, Step
from r1data.steps.decontaminate import CONTAMINATED_CANDIDATES
from r1data.steps.examples import REASONING
from r1data.steps.measures import MEASURE
from r1data.steps.near_duplicates import DUPLICATES, SIGNATURES
from r1data.storage import Lake
from schemas import TABLES

SAMPLES, SHARD, CHARACTERS, QUESTIONS = 16, 16_384, 4_000, 500
SIZES = (25_000, 50_000, 100_000)
FIRST = 320  # not told: kernels are compiled by it, where they were not before
MADE = ("problems", "g/candidates", "g/verdicts")
RIGHT = 0.7  # share of the verdicts
CODE = "```python\ndef check(n):\n    return sum(i * i for i in range(n)) % 7 == 3\n```"
SAID = (
    r"Wait, let me check this again: $\frac{a+b}{2} \le \sqrt{a^2 + b^2}$, so that the bound holds.",
    r"So we have \[ \sum_{i=1}^{n} i = \frac{n(n+1)}{2} \] and the first term is what remains.",
    "However, that is not what was asked. Let me try to do it in another way and see whether it is the same.",
    CODE,
)


class Services:
    """Made-up chains, and the checks."""

    def __init__(self, lake: Lake) -> None:
        self.lake, self.seconds = lake, 0.0

    def call(self, node: Node, key: str, inputs: Mapping[str, Manifest]) -> Iterator[pl.DataFrame]:
        """Sixteen candidates of every problem."""
        rng, number = random.Random(0), (inputs["problems"].rows - QUESTIONS) * SAMPLES
        asked = held_out(QUESTIONS)
        for start in range(0, number, SHARD):
            places = range(start, min(start + SHARD, number))
            made: list[tuple[str, str]] = []
            for i in places:
                made.append(chain(rng, i, made[-1][0] if made else "", asked))
            yield filled(
                "candidates",
                candidate_id=[f"{i:032x}" for i in places],
                problem_id=[f"p{i // SAMPLES:08}" for i in places],
                sample_index=[i % SAMPLES for i in places],
                prompt="User: 1+1=? Assistant: ",
                completion=[text for text, _ in made],
                finish_reason=[finish for _, finish in made],
                completion_tokens=CHARACTERS // 4,
                model_digest="m",
            )

    def train(self, node: Node, key: str, inputs: Mapping[str, Manifest]) -> None:
        """Not here."""

    def check(self, node: Node, rows: Rows) -> tuple[dict[str, object], ...]:
        """The table's suite; what it takes is told apart."""
        at = time.process_time()
        found = validate(rows)
        self.seconds = time.process_time() - at
        return found


def chain(rng: random.Random, i: int, before: str, asked: list[str]) -> tuple[str, str]:
    """(a completion of about 4 kB, finish reason); one in ten or so has a fault."""
    fault, parts = rng.random(), []
    if fault < 0.03 and before:  # nearly the one before
        return before.replace(" the ", " this ", 1), "stop"
    size = 0
    while size < CHARACTERS - 300:
        parts.append(rng.choice(SAID) if rng.random() < 0.3 else rng.choice(solutions()))
        size += len(parts[-1])
    if fault < 0.06:
        parts.insert(3, "所以我们需要再检查一下这个结果是不是正确的。" * 3)
    elif fault < 0.08:
        parts[3:] = [parts[0][:90]] * 30
    elif fault < 0.10:
        parts.append("```python\nfor i in range(10):")
    elif fault < 0.102:
        parts.insert(2, rng.choice(asked))
    said = "\n\n".join(parts)
    text = f"<think>\n{said}\n</think>\nSo the answer to this is {i}.\n<answer>{i}</answer>"
    return (text[: len(text) // 2], "length") if fault > 0.97 else (text, "stop")


def problems(*, params: NoParams, number: int) -> pl.DataFrame:
    """PROBLEMS: that many to train on, and benchmark questions."""
    held = [f"b{i:08}" for i in range(QUESTIONS)]
    about = {"kind": "math", "language": "en", "split": "benchmark", "answer": "1"}
    return pl.concat(
        [sums(params=params, number=number), filled("problems", problem_id=held, question=held_out(QUESTIONS), **about)]
    )


def verdicts(*, params: NoParams, candidates: pl.DataFrame) -> pl.DataFrame:
    """Right or wrong by chance."""
    about = {c: candidates[c] for c in ("candidate_id", "problem_id")}
    rng = random.Random(candidates["candidate_id"][0])
    said = ["correct" if rng.random() < RIGHT else "wrong" for _ in range(candidates.height)]
    return filled("verdicts", **about, verdict=said, tier="exact")


def inputs(number: int) -> list[Node]:
    """What is made up: problems, candidates, verdicts."""
    made = Step(
        "made_problems", "1", "reduce", TABLES["problems"], lambda params: problems(params=params, number=number)
    )
    said = Step("made_verdicts", "1", "map", TABLES["verdicts"], verdicts)
    return [
        Node("problems", "bench", made, NoParams()),
        Node("g/candidates", "bench", GENERATE, NoParams(), {"problems": "problems"}),
        Node("g/verdicts", "bench", said, NoParams(), {"candidates": "g/candidates"}),
    ]


def stage() -> list[Node]:
    """What is measured: the product's nodes as `r1data.stages` puts them together."""
    of, whole = {"candidates": "g/candidates", "problems": "problems"}, frozenset({"problems"})
    passed = {"candidates": "g/candidates", "drops": "g/drops"}
    gone = {"contaminated": "g/contaminated"}
    signed = {**passed, "verdicts": "g/verdicts", **gone}
    kept = {**passed, "problems": "problems", **gone, "duplicates": "g/duplicates"}
    about = {**passed, "problems": "problems"}
    return [
        Node("g/measures", "bench", MEASURE, NoParams(), of, whole),
        gated("g", "bench", GateParams(keep_per_problem=SAMPLES)),
        Node("g/contaminated", "bench", CONTAMINATED_CANDIDATES, DecontaminationParams(), about, whole),
        Node("g/signatures", "bench", SIGNATURES, DedupParams(), signed),
        Node("g/duplicates", "bench", DUPLICATES, DedupParams(), {"signatures": "g/signatures"}),
        Node("g/examples", "bench", REASONING, NoParams(), kept, whole | {"duplicates"}),
    ]


@dataclass(frozen=True)
class Took:
    """What a node took: rows out, CPU seconds, those of its checks, wall seconds, the process's peak so far in MiB."""

    node: str
    rows: int
    cpu: float
    checks: float
    wall: float
    peak: float


def measured(folder: Path) -> list[Took]:
    """Run the stage over what is in the lake."""
    lake = Lake.open(str(folder))
    services, took = Services(lake), []
    runner = Runner(lake, "bench", services, report=lambda _: None)
    runner.done.update({name: resolve(lake, f"bench/{name}") for name in MADE})
    import great_expectations  # noqa: F401  # its import is not timed: a run does it once

    for node in stage():
        cpu, wall = time.process_time(), time.perf_counter()
        rows = runner.run(node)[0].rows
        spent = time.process_time() - cpu, time.perf_counter() - wall
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        took.append(Took(node.name, rows, spent[0], services.seconds, spent[1], peak))
    return took


def told(number: int, took: list[Took]) -> float:
    """Print a line a node; the CPU seconds of all."""
    cpu, wall = sum(t.cpu for t in took), sum(t.wall for t in took)
    heads = f"{'rows':>10}{'CPU s':>8}{'checks':>8}{'wall s':>8}{'in/CPU s':>10}{'share':>7}{'peak MiB':>10}"
    print(f"\n{f'{number:,} chains':<16}{heads}")
    for t in took:
        rate, share = number / t.cpu, t.cpu / cpu
        print(
            f"{t.node:<16}{t.rows:>10,}{t.cpu:>8.1f}{t.checks:>8.1f}{t.wall:>8.1f}"
            f"{rate:>10,.0f}{share:>7.0%}{t.peak:>10,.0f}"
        )
    print(
        f"{'all':<16}{'':>10}{cpu:>8.1f}{sum(t.checks for t in took):>8.1f}{wall:>8.1f}{number / cpu:>10,.0f}",
        flush=True,
    )
    return cpu


def fitted(seconds: dict[int, float], peaks: dict[int, float]) -> None:
    """Print cost by size, and a line through it: seconds = fixed + each x chains."""
    for number, spent in seconds.items():
        print(f"{number:>10,} chains: {1e5 * spent / number:6.1f} CPU s per 100,000, peak {peaks[number]:,.0f} MiB")
    if len(seconds) > 1:
        each, fixed = np.polyfit(list(seconds), list(seconds.values()), 1)
        power = np.polyfit(np.log(list(seconds)), np.log(list(seconds.values())), 1)[0]
        grows = np.polyfit(list(peaks), list(peaks.values()), 1)[0]
        print(f"fit: {fixed:.1f} s + {1e5 * each:.1f} s per 100,000; cost ~ chains^{power:.2f}", end="; ")
        print(f"peak grows by {1e5 * grows:.0f} MiB per 100,000")


def main(sizes: list[int]) -> None:
    """Every size: a process that makes the input, one that is measured."""
    if "R1_BENCH" in os.environ:
        what, folder = os.environ["R1_BENCH"].split("|")
        if what == "run":
            found = [vars(t) for t in measured(Path(folder))]
            (Path(folder) / "took.json").write_text(json.dumps(found), encoding="utf-8")
            return
        lake = Lake.open(folder)
        runner = Runner(lake, "bench", Services(lake), report=lambda _: None)
        for node in inputs(int(what) // SAMPLES):
            runner.run(node)
        return
    seconds, peaks = {}, {}
    for size in (FIRST, *sizes):
        with tempfile.TemporaryDirectory(prefix=f"gate-stage-{size}-") as folder:
            for what in (str(size), "run"):
                env = {**os.environ, "R1_BENCH": f"{what}|{folder}"}
                subprocess.run([sys.executable, "-m", "benchmarks.gate_stage"], env=env, check=True)
            took = [Took(**t) for t in json.loads((Path(folder) / "took.json").read_text(encoding="utf-8"))]
        if size != FIRST:
            seconds[size], peaks[size] = told(size, took), took[-1].peak
    print()
    fitted(seconds, peaks)


if __name__ == "__main__":
    main([int(a) for a in sys.argv[1:]] or list(SIZES))
