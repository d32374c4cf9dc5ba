"""However many ranks share a step of GRPO, its gradient is the same: for every aggregation, whole or sharded.

A sharded reference is the whole one, replaced and resumed too.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from r1data.manifest import Manifest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
# Plain descent with a rate of 1: what the weights move by is the gradient, not Adam's sign of it.
PROGRAM = """
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from tests.training.grpo_jobs import OPTIMIZER, PARAMS
from training.core import Trainer, start
from training.loading import load_trained
from training.policy import PolicyStep
from training.reference import Reference
from training.rollout import Sample


def estimates(reference):
    return reference.kl(ids, torch.zeros(4, 10), None)


torch.optim.AdamW = lambda parameters, lr, **_: torch.optim.SGD(parameters, lr=lr)
folder, out = map(Path, sys.argv[1:])
rank, world = start(0)
prompts = [[10, 11, 12], [13, 14], [15], [16, 17]]
STEPS = [("token", 0), ("sequence", 2), ("group", 2), ("constant", 3), ("token", 1), ("token", 2), ("token", 3)]
rng = np.random.default_rng(0)
samples = [
    Sample(i // 4, i % 4, 0, "", rng.integers(6, 40, 1 + (5 * i) % 7).tolist(), [], "stop", None if i == 5 else 1.0)
    for i in range(16)
]
advantage = torch.tensor(rng.normal(size=16)).float()
optimizer = {"learning_rate": 1.0, "final_fraction": 1.0, "warmup_steps": 0, "clip_grad": 1e9, "micro_batch": 2}
found = {}
for aggregation, stage in STEPS:
    changes = {"aggregation": aggregation, "kl": 0.1, "optimizer": {**optimizer, "zero_stage": stage}}
    params = PARAMS.model_validate({**PARAMS.model_dump(), **changes})
    model = load_trained(AutoModelForCausalLM, folder, params.optimizer)
    scratch = out.with_suffix("")
    trainer = Trainer(model, params.optimizer, 4, 8, scratch, rank, world, params.updates_per_rollout)
    reference = Reference(folder, params, trainer.device)
    told = PolicyStep(params, trainer, reference, prompts, samples).update(0, advantage)
    weights = torch.cat([w.flatten() for _, w in trainer.named_weights()])
    found[f"{aggregation} {stage}"] = (weights, told["loss"], told["kl"], told["grad_norm"])
ids = torch.randint(6, 40, (4, 11), generator=torch.Generator().manual_seed(rank))
unsharded = params.model_copy(update={"optimizer": OPTIMIZER.model_copy(update={"zero_stage": 0})})
whole = Reference(folder, unsharded, trainer.device)
first = estimates(whole)
gaps = [estimates(reference) - first]
reference.follow(trainer.engine)
whole.replace(dict(trainer.named_weights()))
second = estimates(whole)
gaps.append(estimates(reference) - second)
trainer.end_step({}, save_every=1, extra=reference.state())
for weights in (trainer.resume(), whole.state()):  # shards; and whole tensors, of a state from before there were shards
    other = Reference(folder, params, trainer.device)
    other.replace(weights)
    gaps.append(estimates(other) - second)
found["sharded reference"] = (trainer.total_over_ranks(torch.stack([g.abs().max() for g in (*gaps, second - first)])),)
if rank == 0:
    torch.save(found, out)
"""


def stepped(folder: Path, out: Path, ranks: int) -> dict[str, Any]:
    """(weights, loss, KL, gradient's norm) by setting after one step on so many ranks."""
    program = out.with_suffix(".py")
    program.write_text(PROGRAM)
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}"] if ranks > 1 else []
    command = [sys.executable, *torchrun, str(program), str(folder), str(out)]
    here = str(Path(__file__).resolve().parents[2])
    run = subprocess.run(
        command, capture_output=True, text=True, timeout=500, env={**os.environ, "PYTHONPATH": here}, cwd=here
    )
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-3000:]
    found: dict[str, Any] = torch.load(out)
    return found


def test_two_ranks_take_the_step_of_one(workshop: Any, base: Manifest, tmp_path: Path) -> None:
    folder = workshop.model(base)
    one, two = (stepped(folder, tmp_path / f"of-{ranks}.pt", ranks) for ranks in (1, 2))
    for *gaps, moved in (one.pop("sharded reference")[0], two.pop("sharded reference")[0]):
        assert max(gaps) < 1e-6
        assert moved > 1e-3
    assert one.keys() == two.keys()
    for stage in (1, 2, 3):
        assert float((two["token 0"][0] - two[f"token {stage}"][0]).abs().max()) < 1e-5, stage
    for name in one:
        assert float((one[name][0] - two[name][0]).abs().max()) < 1e-5, name
        assert two[name][1:] == pytest.approx(one[name][1:], rel=1e-4), name
    others = [weights for name, (weights, *_) in one.items() if not name.startswith("token")]
    assert all(float((one["token 0"][0] - w).abs().max()) > 1e-3 for w in others), "aggregations differ"
