"""Tokens that rejection sampling needs for the same number of rows: a fixed number of samples, and prompts that stop.

python -m benchmarks.adaptive [PROMPTS]     (1,000) against the stand-in server, over HTTP, judged by the real verifier

Difficulty mix: the share of right answers of each prompt is drawn from Beta(0.7, 0.7), which has many prompts that are
nearly always and many that are nearly never right, as reasoning sets have. At most 4 right rows a prompt are kept.
"""

import random
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

import polars as pl

from benchmarks.stand_in import MODEL, backends, start
from r1data.generate.candidates import Desk, candidates
from r1data.generate.sampling import Prompt
from r1data.generate.server import Server
from r1data.outcomes.rejection import judge_of
from r1data.sampling_params import SamplingParams
from r1data.storage import Lake
from r1data.verify.verdicts import Asked, judged

KEPT = 4
MIX = ("0.7", "0.7")
ADAPTIVE = SamplingParams(samples=4, stop_at=KEPT, max_samples=24, temperature=1.0, max_tokens=200)
MOST_FIXED = 64


def problems_of(number: int) -> tuple[list[Prompt], pl.DataFrame]:
    """Sums, as prompts and as the columns of PROBLEMS that a judge reads."""
    draw = random.Random(0)
    sums = sorted({(draw.randint(100, 9999), draw.randint(100, 9999)) for _ in range(number)})
    prompts = [Prompt(f"p{i}", f"User: {a}+{b}=? Assistant: ") for i, (a, b) in enumerate(sums)]
    answers = [str(a + b) for a, b in sums]
    told = {"problem_id": [p.problem_id for p in prompts], "answer": answers}
    return prompts, pl.DataFrame(told).with_columns(kind=pl.lit("math"), language=pl.lit("en"))


def sampled(folder: Path, server: Server, sampling: SamplingParams, number: int) -> pl.DataFrame:
    """problem_id, sample_index, completion_tokens, right: of every candidate."""
    prompts, problems = problems_of(number)
    shards = candidates(
        Desk(Lake.open(str(folder)), folder / "scratch", print),
        lambda: nullcontext(backends(server)),
        MODEL,
        prompts,
        sampling,
        "t",
        judge=judge_of(problems, None),
    )
    frame = pl.concat(shards).join(problems, on="problem_id")
    columns = ["completion", "finish_reason", "answer"]
    verdicts = judged([Asked(*row) for row in frame.select(columns).iter_rows()])
    right = pl.Series("right", [v.verdict == "correct" for v in verdicts])
    return frame.with_columns(right).select("problem_id", "sample_index", "completion_tokens", "right")


def kept(frame: pl.DataFrame) -> int:
    """Rows of the dataset: at most KEPT right ones a prompt."""
    rights = frame.group_by("problem_id").agg(pl.col("right").sum())["right"]
    return int(rights.clip(0, KEPT).sum())


def main(number: int) -> None:
    """The fixed number that gives as many rows, its tokens, and the ratio."""
    folder = Path(tempfile.mkdtemp())
    server = start(folder / "model", "--mix", *MIX)
    try:
        ours = sampled(folder / "adaptive", server, ADAPTIVE, number)
        fixed = SamplingParams(samples=MOST_FIXED, temperature=1.0, max_tokens=ADAPTIVE.max_tokens)
        most = sampled(folder / "fixed", server, fixed, number)
    finally:
        server.stop()
    rows, tokens = kept(ours), int(ours["completion_tokens"].sum())
    print(
        f"adaptive ({ADAPTIVE.samples} first, stop at {KEPT}, at most {ADAPTIVE.cap}): {rows:,} rows, {tokens:,} tokens"
    )
    for n in range(1, MOST_FIXED + 1):
        part = most.filter(pl.col("sample_index") < n)
        if kept(part) >= rows:
            paid = int(part["completion_tokens"].sum())
            print(f"fixed n = {n}: {kept(part):,} rows, {paid:,} tokens")
            print(f"saved {1 - (tokens / rows) / (paid / kept(part)):.1%} of the tokens a row (at least 30 %)")
            return
    print(f"no fixed number up to {MOST_FIXED} gives as many rows")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000)
