"""Seconds that a trainer's weights take to a vLLM server on this machine, by size of the model and of the buckets.

python -m benchmarks.weight_sync [fake] [MILLIONS ...]     (1 10 100, of 1 10 100 500; a server each, a minute or two)

Random Qwen2 models in bf16. The trainer's side is a process of its own for each model; its peak memory is told beyond
the model itself. `whole`: a bucket larger than the model, which is what there is without buckets. By files, and over a
process group (gloo) at the middle size of bucket. `fake`: a server that reads the headers of files alone, so that the
seconds are the trainer's own.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from transformers import Qwen2ForCausalLM

from r1data.endpoint import Endpoint
from r1data.generate.server import Engine, start_server
from r1data.recipe import EngineParams
from r1data.training_params import ArchitectureParams
from training.engine import ServerEngine
from training.groups import Groups
from training.pretrain import configuration
from training.tokens import trained_tokenizer
from training.transfer import Files

TEXTS = ["User: 23+45=?\nAssistant:\n<think>3 plus 5 is 8</think><answer>68</answer>"] * 30
# (hidden size, layers) of about so many million parameters: 12 x hidden^2 a layer
SHAPES = {1: (128, 5), 10: (384, 6), 100: (1024, 8), 500: (1792, 13)}
BUCKETS_MB = (4, 64, 1 << 20)
ROUNDS = 3


def main(engine: Engine, millions: list[int]) -> None:
    """A row a model and bucket."""
    print("million parameters | MB | over | bucket MB | sync s | MB/s | peak MB beyond the model", flush=True)
    for size in millions:
        with tempfile.TemporaryDirectory() as folder:
            _model(Path(folder), *SHAPES[size])
            arguments = ("--max-model-len", "128")
            params = EngineParams(dtype="bfloat16", arguments=arguments, ready_s=900)
            server = start_server(Path(folder), engine, sys.executable, Path(folder) / "log", params)
            try:
                command = [sys.executable, "-m", "benchmarks.weight_sync", "trainer", folder, server.url, engine]
                subprocess.run(command, check=True)
            finally:
                server.stop()


def _model(folder: Path, hidden: int, layers: int) -> None:
    tokenizer = trained_tokenizer(TEXTS)
    shape = ArchitectureParams(
        hidden_size=hidden, intermediate_size=8 * hidden // 3 // 32 * 32, layers=layers, heads=hidden // 64, kv_heads=2
    )
    model = Qwen2ForCausalLM(configuration(shape, len(tokenizer))).to(torch.bfloat16)
    model.save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))


def trainer(folder: Path, url: str, kind: str) -> None:
    """The median of the syncs, and what the process grew by in them; the file in shared memory counts, too."""
    model = Qwen2ForCausalLM.from_pretrained(str(folder), dtype=torch.bfloat16)
    for p in model.parameters():
        p.data = p.data.clone()  # in memory, not mapped
    mb = sum(p.nbytes for p in model.parameters()) / 1e6
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    before = _memory_mb("VmRSS")
    ways: list[tuple[str, Files | Groups, int]] = [("files", Files(folder), bucket) for bucket in BUCKETS_MB]
    for over, way, bucket in ways + [("gloo", Groups("gloo"), BUCKETS_MB[1])] * (kind == "vllm"):
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        engine = ServerEngine([Endpoint(url, "policy")], 0, way, bucket << 20)
        taken = []
        for i in range(ROUNDS):
            start = time.perf_counter()
            # as `Trainer.named_weights` hands them out
            engine.load(((n, p.detach().to("cpu", copy=True)) for n, p in model.named_parameters()), f"v{i}")
            taken.append(time.perf_counter() - start)
        seconds, size = sorted(taken)[1], "whole" if bucket == BUCKETS_MB[-1] else str(bucket)
        peak = _memory_mb("VmHWM") - before + min(mb, bucket * (1 << 20) / 1e6)
        print(
            f"{millions:.1f} | {mb:.1f} | {over} | {size} | {seconds:.2f} | {mb / seconds:.0f} | {peak:.0f}", flush=True
        )


def _memory_mb(name: str) -> float:
    """A figure of this process as Linux counts it."""
    (line,) = (x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024 / 1e6


if __name__ == "__main__":
    if sys.argv[1:2] == ["trainer"]:
        trainer(Path(sys.argv[2]), *sys.argv[3:])
    else:
        told = sys.argv[1:]
        main("fake" if "fake" in told else "vllm", [int(a) for a in told if a.isdigit()] or [1, 10, 100])
