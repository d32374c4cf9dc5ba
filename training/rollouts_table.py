"""The record of all rollouts of a stage as a table, committed beside its checkpoint."""

import json
from functools import partial

import pyarrow as pa

from r1data.digest import row_id
from r1data.training_params import GrpoParams
from schemas import TABLES
from training.collecting import collected, part_of
from training.grading import advantages_of, penalised
from training.job import Job
from training.prompts import Prompts
from training.rollout import load_rollouts, rollouts_file


def rollouts_table(job: Job, params: GrpoParams, prompts: Prompts, steps: int) -> pa.Table:
    """ROLLOUTS of so many steps, from their records; groups that dynamic sampling replaced are among them."""
    rows, before = [], (0, 0)
    for step in range(steps):
        recorded = load_rollouts(rollouts_file(job.scratch, step))
        assert recorded is not None, f"step {step}: rollouts were not written down"
        asked = collected(prompts, params, step, before, partial(part_of, recorded, params, step))
        before = (before[0] + asked.extra[0], before[1] + asked.extra[1])
        asks, samples = asked.asks, penalised(asked.samples, params)
        rows += [
            {
                "rollout_id": row_id("rollout", job.key, step, asks[s.ask].problem_id, s.ask, s.index),
                "step": step + 1,
                "prompt_id": row_id("prompt", asks[s.ask].prompt),
                "problem_id": asks[s.ask].problem_id,
                "sample_index": s.index,
                "seed": s.seed,
                "weights": s.weights,
                "completion": s.text,
                "finish_reason": s.finish_reason,
                "completion_tokens": len(s.token_ids),
                "reward": s.reward,
                "components": json.dumps(s.components or {}, sort_keys=True),
                "verdict": s.verdict,
                "advantage": advantage if s.reward is not None else None,
            }
            for s, advantage in zip(samples, advantages_of(samples, params).tolist(), strict=True)
        ]
    return TABLES["rollouts"].conform(pa.Table.from_pylist(rows, schema=TABLES["rollouts"].schema))
