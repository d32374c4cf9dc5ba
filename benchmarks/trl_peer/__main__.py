"""`python -m benchmarks.trl_peer [grpo] [sft]`: our training steps against TRL 1.16's, in the same processes.

Two ranks (torchrun, gloo, CPU, one thread each), a Qwen2 decoder of 3.5 M parameters in fp32, the same weights, AdamW
with the same rate, the same completions recorded beforehand. Ours is under ZeRO-2, TRL under DDP, the default of each;
`--zero` and `--trl-zero` choose others (0: no ZeRO; TRL shards by accelerate's plugin for DeepSpeed). The
sides take turns step by step in the same two processes, so that whatever else the machine does falls on both.
Seconds of wall time are those of the slower rank, CPU seconds those of both ranks and all their threads. Losses and
gradient norms of every step, and what the weights moved by, are compared: `grpo.py` and `sft.py` say what a step is.

Needs the extra `oracle` (TRL). About 5 CPU minutes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.trl_peer.material import made_model

QUIET = {
    **{"OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu", "TOKENIZERS_PARALLELISM": "false"},
    **{"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "PYTHONWARNINGS": "ignore", "TORCHDYNAMO_DISABLE": "1"},
}
HIDDEN = {"varied", "engine", "updates", "kl", "packed", "chunk"}


def main() -> None:
    """Make the model, start the ranks, print what they found."""
    parser = argparse.ArgumentParser(description="Our training steps against TRL's.")
    parser.add_argument("what", nargs="*", default=["grpo", "sft"], help="grpo, sft or both")
    parser.add_argument("--steps", type=int, default=6, help="turns of each side, beside one to warm up")
    parser.add_argument("--only", nargs="*", default=[], help="numbers of settings, from 0")
    parser.add_argument("--zero", default="2", choices=["0", "1", "2"], help="our ZeRO stage")
    parser.add_argument("--trl-zero", default="0", choices=["0", "1", "2"], help="TRL's; 0: DDP")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        made_model(model)
        for what in told.what:
            _ranks(what, [str(model), str(Path(folder) / what), str(told.steps), told.zero, told.trl_zero, *told.only])


def _ranks(what: str, arguments: list[str]) -> None:
    """Two ranks of a comparison; a paragraph for each setting."""
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", f"benchmarks.trl_peer.{what}"]
    run = subprocess.Popen(
        [sys.executable, *command, *arguments],
        env={**os.environ, **QUIET},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert run.stdout is not None, "a pipe was asked for"
    said = []
    for line in run.stdout:
        said.append(line)
        if line.startswith("FOUND "):
            found = json.loads(line.removeprefix("FOUND "))
            print(f"\n{what}: {found.pop('name')}")
            for name, value in found.items():
                if name not in HIDDEN:
                    print(f"  {name:24} {value if not isinstance(value, float) else format(value, '.1e')}", flush=True)
    if run.wait():
        sys.exit("".join(said[-60:]))


if __name__ == "__main__":
    main()
