"""What asking one step ahead does to waiting, wall time and reward: real vLLM on CPU beside a tiny policy that learns.

python -m benchmarks.async_rollouts [STEPS] [SEEDS]     (10 steps, 3 seeds; about ten minutes on two busy cores)

A base is pre-trained on sums until some of its answers have R1's pattern; GRPO is paid for the pattern alone. The same
recipe runs with max_staleness 0 and 1, the modes in turn, from one base, with one server. Printed are, by mode, the
share of the time of steps spent waiting, seconds a step, the mean reward of the last quarter of steps; and differences
between the modes over seeds with 95 % intervals (Student's t).
"""

import statistics
import sys
import tempfile
from pathlib import Path

import polars as pl

from r1data.endpoint import Endpoint
from r1data.generate.server import SERVED_NAME, start_server
from r1data.manifest import Manifest
from r1data.training_params import ArchitectureParams, GrpoParams, OptimizerParams, PretrainParams
from tests.training.conftest import Workshop, corpus_rows
from training import grpo, pretrain

BASE = PretrainParams(
    architecture=ArchitectureParams(
        hidden_size=64, intermediate_size=128, layers=2, heads=2, kv_heads=2, max_positions=128
    ),
    optimizer=OptimizerParams(learning_rate=3e-3, warmup_steps=5, micro_batch=32),
    steps=70,
    batch=32,
    max_length=64,
    loss_after="Assistant:",
)
ZERO = {
    "optimizer": {"learning_rate": 5e-4, "warmup_steps": 0, "micro_batch": 16, "final_fraction": 1.0},
    "reward": {"accuracy_correct": 0.0, "format_ok": 1.0},
    "template": "User: {question} Assistant:",
    "prompts_per_step": 16,
    "group": 8,
    "updates_per_rollout": 2,
    "max_tokens": 40,
    "save_every": 1000,
}
T95 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365}


def main(steps: int, seeds: int) -> None:
    """All runs, a line each; then the table."""
    shop = Workshop(Path(tempfile.mkdtemp()))
    corpus = shop.dataset("corpus", "corpus", corpus_rows(256))
    first = shop.job("base", "pretrain", BASE, {"corpus": corpus})
    pretrain.train(first)
    base = shop.committed(first)
    inputs = {"init": base, "problems": shop.problems(200)}
    server = start_server(shop.model(base), "vllm", sys.executable, shop.folder / "vllm.log")
    found: dict[int, list[dict[str, float]]] = {0: [], 1: []}
    try:
        for seed in range(seeds):
            for staleness in (0, 1) if seed % 2 else (1, 0):
                told = ZERO | {"steps": steps, "seed": seed} | ({"max_staleness": 1} if staleness else {})
                found[staleness].append(one(shop, inputs, told, Endpoint(server.url, SERVED_NAME)))
                print(f"seed {seed}, max_staleness {staleness}: {found[staleness][-1]}", flush=True)
    finally:
        server.stop()
    table(found)


def one(shop: Workshop, inputs: dict[str, Manifest], told: dict[str, object], endpoint: Endpoint) -> dict[str, float]:
    """The figures of a run; the first two steps, which fill the pipeline, count for the reward alone."""
    params = GrpoParams.model_validate(told)
    job = shop.job("zero", "grpo", params, inputs, f"scratch-{params.seed}-{params.max_staleness}", endpoint)
    grpo.train(job)
    table = pl.DataFrame(shop.lake.read_table(f"{job.folder}/metrics.parquet")).sort("step")
    metrics = {str(name): part["value"].to_list() for (name,), part in table.group_by("metric")}
    waited, seconds, rewards = metrics["waiting_s"][2:], metrics["step_seconds"][2:], metrics["reward"]
    last = rewards[-max(1, len(rewards) // 4) :]
    return {
        "waiting share": sum(waited) / sum(seconds),
        "s a step": sum(seconds) / len(seconds),
        "first reward": rewards[0],
        "last reward": sum(last) / len(last),
        "staleness": sum(metrics["staleness"][2:]) / len(seconds),
        "mismatch": sum(metrics["mismatch"][2:]) / len(seconds),
    }


def table(found: dict[int, list[dict[str, float]]]) -> None:
    """Means over seeds by mode, and the difference of pairs of the same seed with its interval."""
    print("| | max_staleness 0 | 1 | difference |\n|---|---|---|---|")
    for name in found[0][0]:
        means = [statistics.fmean(f[name] for f in found[mode]) for mode in (0, 1)]
        gaps = [b[name] - a[name] for a, b in zip(found[0], found[1], strict=True)]
        told = f"{statistics.fmean(gaps):+.3f}"
        if len(gaps) > 1:
            told += f" ± {T95[len(gaps) - 1] * statistics.stdev(gaps) / len(gaps) ** 0.5:.3f}"
        print(f"| {name} | {means[0]:.3f} | {means[1]:.3f} | {told} |")


if __name__ == "__main__":
    main(*(int(n) for n in [*sys.argv[1:], *("10", "3")[len(sys.argv) - 1 :]]))
