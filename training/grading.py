"""Which prompts a step asks, what their completions earn, and the record of it all as a table."""

import json

import polars as pl
import pyarrow as pa

from r1data.digest import row_id
from r1data.errors import RecipeError
from r1data.rewards.format import summary
from r1data.rewards.score import score_completion
from r1data.runner import frame_of
from r1data.training_params import GrpoParams
from schemas import TABLES
from training.job import Job
from training.reward_model import RewardModel
from training.rollout import Ask, Sample, load_rollouts


class Grader:
    """Rules for reasoning prompts, reward models for general and safety prompts (paper Eq. 8-10)."""

    def __init__(self, job: Job, params: GrpoParams) -> None:
        self.params = params
        self.problems = frame_of(job.lake, job.inputs["problems"]).filter(pl.col("split") == "train")
        dtype = params.optimizer.dtype
        roles = [r for r in ("helpful", "safe") if r in job.inputs]
        self.models: dict[str, RewardModel] = {r: RewardModel(job.model_folder(r), dtype) for r in roles}
        if params.general_share and not self.models:
            raise RecipeError(f"{job.node.name}: general prompts without reward models", "set general_share = 0")

    def probe_texts(self) -> list[str]:
        """Prompts whose log-probs go into the manifest."""
        questions = self.problems.sort("problem_id")["question"].head(4).to_list()
        return [self.params.template.replace("{question}", q) for q in questions]

    def graded(self, asks: list[Ask], samples: list[Sample]) -> list[Sample]:
        """The samples with reward, components and measures."""
        for s in samples:
            ask = asks[s.ask]
            if ask.kind == "math":
                scored = score_completion(s.text, s.finish_reason, ask.answer, ask.language, self.params.reward)
                s.reward, s.components, s.verdict = scored.reward, scored.components, scored.verdict
                s.format_ok, s.consistency = scored.format_ok, scored.consistency
                s.reflection_words = scored.reflection_words
        weight = self.params.reward
        scored_by = (("helpful", "general", weight.helpful_weight), ("safe", "safety", weight.safe_weight))
        for role, kind, factor in scored_by:
            mine = [s for s in samples if asks[s.ask].kind == kind]
            texts = [asks[s.ask].prompt + (summary(s.text) if role == "helpful" else s.text) for s in mine]
            for s, r in zip(mine, self.models[role].rewards(texts) if texts else [], strict=True):
                s.reward = factor * r
                s.components = {role: s.reward}
        return samples


def asks_of_step(problems: pl.DataFrame, params: GrpoParams, step: int) -> list[Ask]:
    """The prompts of a step, from its number alone: seeded order over epochs, general prompts from their first step."""
    share = params.general_share if step >= params.general_from_step else 0.0
    general = round(params.prompts_per_step * share)
    rows = [
        *_turn(problems.filter(pl.col("kind") == "math"), params, step, params.prompts_per_step - general),
        *_turn(problems.filter(pl.col("kind") != "math"), params, step, general),
    ]
    return [
        Ask(
            problem_id=r["problem_id"],
            prompt=params.template.replace("{question}", r["question"]),
            answer=r["answer"] or "",
            language=r["language"],
            kind=r["kind"],
        )
        for r in rows
    ]


def _turn(problems: pl.DataFrame, params: GrpoParams, step: int, count: int) -> list[dict[str, str]]:
    """`count` problems of a step: consecutive ones of a seeded order of each epoch."""
    if count and not problems.height:
        raise RecipeError("no training problems of the kind that the stage asks", "add a source to the recipe")
    if not count:
        return []
    rows = {r["problem_id"]: r for r in problems.to_dicts()}
    places = [divmod(position, len(rows)) for position in range(step * count, (step + 1) * count)]
    orders = {e: sorted(rows, key=lambda i: row_id(params.seed, e, i)) for e in {e for e, _ in places}}
    return [rows[orders[epoch][place]] for epoch, place in places]


def rollouts_table(job: Job, params: GrpoParams, problems: pl.DataFrame) -> pa.Table:
    """ROLLOUTS of all steps, from their records."""
    rows = []
    for step in range(params.steps):
        asks = asks_of_step(problems, params, step)
        samples = load_rollouts(job.scratch / "rollouts" / f"step-{step:06d}.json")
        assert samples is not None, f"step {step}: rollouts were not written down"
        rows += [
            {
                "rollout_id": row_id("rollout", job.key, step, asks[s.ask].problem_id, s.ask, s.index),
                "step": step + 1,
                "prompt_id": row_id("prompt", asks[s.ask].prompt),
                "problem_id": asks[s.ask].problem_id,
                "sample_index": s.index,
                "seed": s.seed,
                "completion": s.text,
                "finish_reason": s.finish_reason,
                "completion_tokens": len(s.token_ids),
                "reward": s.reward,
                "components": json.dumps(s.components or {}, sort_keys=True),
                "verdict": s.verdict,
                "advantage": None,
            }
            for s in samples
        ]
    return TABLES["rollouts"].conform(pa.Table.from_pylist(rows, schema=TABLES["rollouts"].schema))
