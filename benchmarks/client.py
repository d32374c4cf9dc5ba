"""Candidates a second that the client alone handles: it on one core, the stand-in server on another.

python -m benchmarks.client [CANDIDATES]     20,000 at 1, 4 and 16 samples a request: asked, parsed, recorded, in shards
"""

import os
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

from benchmarks.stand_in import MODEL, backends, start
from r1data.generate.candidates import Desk, candidates
from r1data.generate.sampling import Prompt
from r1data.sampling_params import SamplingParams
from r1data.storage import Lake


def main(number: int) -> None:
    """One line a number of samples."""
    folder = Path(tempfile.mkdtemp())
    server = start(folder / "model")
    own, other = sorted(os.sched_getaffinity(0))[:2]
    os.sched_setaffinity(0, {own})
    os.sched_setaffinity(server.process.pid, {other})
    try:
        for samples in (1, 4, 16):
            prompts = [Prompt(f"p{i}", f"User: {i}+23=? Assistant: ") for i in range(number // samples)]
            sampling = SamplingParams(samples=samples, temperature=1.0, max_tokens=64)
            desk = Desk(Lake.open(str(folder / f"lake-{samples}")), folder, print)
            began, worked = time.perf_counter(), time.process_time()
            shards = candidates(desk, lambda: nullcontext(backends(server)), MODEL, prompts, sampling, "t")
            rows = sum(frame.height for frame in shards)
            seconds, cpu = time.perf_counter() - began, time.process_time() - worked
            print(f"{samples:2} samples a request: {rows:,} candidates, {rows / seconds:,.0f}/s, ", end="")
            print(f"{rows / cpu:,.0f} a second of the client's CPU (at least 2,000/s)", flush=True)
    finally:
        server.stop()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
