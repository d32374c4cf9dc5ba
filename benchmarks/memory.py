"""Memory that a training really takes, against what `r1data.sizing` says: by ranks, ZeRO stage and precision, on CPU.

python -m benchmarks.memory        (3 minutes of a core, 2 GB)

A Qwen2 decoder of 17 M parameters with random weights takes two steps of 2 parts of 2 x 256 tokens on each rank.
Measured is the growth of the process's resident memory from before the model is built to the peak of the second step.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from r1data.shapes import shape_of
from r1data.sizing import GB, Load, memory
from r1data.training_params import OptimizerParams

ROWS, CONTEXT, STEPS, PARTS = 2, 256, 2, 2
VOCABULARY = 8192
CONFIG = {
    "model_type": "qwen2",
    "hidden_size": 384,
    "intermediate_size": 1536,
    "num_hidden_layers": 6,
    "num_attention_heads": 6,
    "num_key_value_heads": 6,
    "vocab_size": VOCABULARY,
    "tie_word_embeddings": True,
    "max_position_embeddings": CONTEXT,
}
CASES = (  # ranks, stage, dtype, layers computed again, positions with logits at a time
    (1, 0, "float32", False, 0),
    (1, 2, "float32", False, 0),
    (2, 2, "float32", False, 0),
    (2, 3, "float32", False, 0),
    (2, 3, "float32", True, 64),
    (2, 2, "bfloat16", False, 0),
)
# memory that is freed goes back at once, so that what is resident is what is in use
ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"}


def measured(ranks: int, told: OptimizerParams) -> float:
    """Bytes of the rank that took most, in a process of its own."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}"] if ranks > 1 else []
    command = [sys.executable, *torchrun, "-m", "benchmarks.memory", "worker", told.model_dump_json()]
    run = subprocess.run(command, capture_output=True, text=True, timeout=900, env={**os.environ, **ENVIRONMENT})
    lines = [line.removeprefix("peak ") for line in run.stdout.splitlines() if line.startswith("peak ")]
    if run.returncode or len(lines) != ranks:
        raise SystemExit(run.stdout[-1000:] + run.stderr[-3000:])
    return max(float(line) for line in lines)


def worker(told: OptimizerParams) -> None:
    """Train, and print by how much memory grew."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from training.chunked import summed_loss
    from training.core import Trainer, start

    rank, world = start(0)
    before = resident("VmRSS")
    model = Qwen2ForCausalLM(Qwen2Config(**CONFIG)).to(getattr(torch, told.dtype))
    with tempfile.TemporaryDirectory() as scratch:
        trainer = Trainer(model, told, STEPS, PARTS * ROWS * world, Path(scratch), rank, world)
        for step in range(STEPS):
            if step == 1:  # building and the first step's optimizer states are past
                reset_peak()
            for _ in range(PARTS):
                ids = torch.randint(2, VOCABULARY, (ROWS, CONTEXT))
                loss = summed_loss(trainer.engine, ids, ids, told.loss_chunk) / (PARTS * ROWS * world * CONTEXT)
                trainer.backward(loss)
                del loss
    print(f"peak {resident('VmHWM') - before}", flush=True)


def reset_peak() -> None:
    """From here VmHWM counts anew."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def resident(name: str) -> float:
    """Bytes of this process: VmRSS now, VmHWM at most since the peak was reset."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return float(next(line.split()[1] for line in status.splitlines() if line.startswith(f"{name}:"))) * 1024


def main() -> None:
    """Every case, measured and computed."""
    shape = shape_of(CONFIG)
    print(f"{shape.parameters / 1e6:.1f} M parameters, {ROWS} x {CONTEXT} tokens a rank\n")
    print("| ranks | ZeRO | precision | layers again, chunk | measured, GB | computed, GB | ratio |")
    print("|---|---|---|---|---|---|---|")
    for ranks, stage, dtype, again, chunk in CASES:
        told = OptimizerParams.model_validate(
            {
                **{"learning_rate": 1e-4, "zero_stage": stage, "dtype": dtype, "micro_batch": ROWS},
                **{"gradient_checkpointing": again, "loss_chunk": chunk},
            }
        )
        load = Load(shape, ranks, stage, dtype, CONTEXT, ROWS, again, chunk, runtime=0.0)
        taken, computed = measured(ranks, told), memory(load).total
        kind = f"{'yes' if again else 'no'}, {chunk or 'all'}"
        ratio = taken / computed
        print(
            f"| {ranks} | {stage} | {dtype} | {kind} | {taken / GB:.2f} | {computed / GB:.2f} | {ratio:.2f} |",
            flush=True,
        )
        print(f"    {memory(load).told()}", file=sys.stderr)


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        worker(OptimizerParams(**json.loads(sys.argv[2])))
    else:
        main()
