"""Programs a second in the sandbox and in a fresh interpreter in the same jail, one run; and what 10,000 jobs leave.

python -m benchmarks.sandbox [JOBS]     jobs with ordinary imports, function calls, HumanEval (from ../shared/data, else
                                        left out); then JOBS jobs (10,000) watched for memory, descriptors, processes
"""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from r1data.sandbox.cases import TestSet
from r1data.sandbox.jail import best_isolation, fresh_interpreter
from r1data.sandbox.pool import Sandbox

HUMANEVAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "humaneval_even.jsonl"
IMPORTS = """
import sys, math, re, collections, itertools, functools, heapq, bisect, string, random, copy, operator, typing
import datetime, decimal, fractions, statistics
n, m = map(int, input().split())
print(math.gcd(n, m), sum(collections.Counter(str(n)).values()))
"""
STDIO = TestSet(stdio=(("12 18\n", "6 2\n"),))
CALLS = 50
BATCH = 1_000
SQUARE = TestSet(calls=tuple(([i], i * i) for i in range(CALLS)), functions=("f",))


def peer(jobs: int) -> float:
    """Jobs a second by a fresh interpreter in the same jail for each, on all cores: what most harnesses do."""
    command = fresh_interpreter(best_isolation(), IMPORTS)

    def once(_: int) -> None:
        ran = subprocess.run(command, input=b"12 18\n", capture_output=True, check=True, env={})
        assert ran.stdout == b"6 2\n", ran

    started = time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(once, range(jobs)))
    return jobs / (time.perf_counter() - started)


def ours(sandbox: Sandbox, program: str, tests: TestSet, jobs: int) -> float:
    """Jobs a second, every one passed."""
    started = time.perf_counter()
    found = sandbox.run([(program, tests)] * jobs)
    took = time.perf_counter() - started
    assert all(r.status == "passed" for r in found), [r for r in found if r.status != "passed"][:3]
    return jobs / took


def humaneval() -> list[tuple[str, TestSet]]:
    """The canonical solutions with their tests."""
    rows = [json.loads(line) for line in HUMANEVAL.read_text(encoding="utf-8").splitlines()]
    return [
        (
            r["prompt"] + r["canonical_solution"],
            TestSet(
                asserts=f"{r['test']}\ncheck({r['entry_point']})",
                prelude=f"{r['prompt']}\n    pass\n",
                functions=(r["entry_point"],),
            ),
        )
        for r in rows
    ]


def left_behind() -> dict[str, int]:
    """Memory (KiB) and descriptors of this process and of every jail, and processes below this one."""
    pids = _family(os.getpid())
    return {
        "KiB": sum(_resident(p) for p in pids),
        "descriptors": sum(len(list(Path(f"/proc/{p}/fd").iterdir())) for p in pids),
        "processes": len(pids),
    }


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(p for child in children for p in _family(int(child)))]


def _resident(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def main(jobs: int) -> None:
    """Print a line a measurement."""
    with Sandbox() as sandbox:
        sandbox.run([(IMPORTS, STDIO)] * 20)
        theirs, mine = peer(100), ours(sandbox, IMPORTS, STDIO, 1000)
        print(
            f"jobs with ordinary imports   {mine:8,.0f}/s   fresh interpreter {theirs:6,.0f}/s   x {mine / theirs:.1f}"
        )
        calls = CALLS * ours(sandbox, "def f(x): return x * x", SQUARE, 400)
        print(f"function calls as tests      {calls:8,.0f}/s   ({CALLS} a job)")
        if HUMANEVAL.is_file():
            started = time.perf_counter()
            found = sandbox.run(humaneval())
            took = time.perf_counter() - started
            passed = sum(r.status == "passed" for r in found)
            print(f"HumanEval solutions          {len(found) / took:8,.0f}/s   {passed} of {len(found)} pass")
        before, started = left_behind(), time.perf_counter()
        for _ in range(jobs // BATCH):
            ours(sandbox, IMPORTS, STDIO, BATCH)
        rate, after = jobs / (time.perf_counter() - started), left_behind()
        print(f"{jobs:,} jobs at {rate:,.0f}/s; " + ", ".join(f"{k} {before[k]:,} -> {after[k]:,}" for k in before))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
