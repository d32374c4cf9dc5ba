"""Which prompts a step asks, what their completions earn, and the record of it all as a table."""

import json
from typing import Any

import polars as pl
import pyarrow as pa
import torch

from r1data.digest import row_id
from r1data.errors import RecipeError
from r1data.rewards.format import summary
from r1data.rewards.kinds import VERIFIED
from r1data.rewards.score import score_completion
from r1data.training_params import GrpoParams
from r1data.verify.verdicts import Asked, judged
from schemas import TABLES
from training.job import Job
from training.losses import advantages
from training.reward_model import RewardModel
from training.rollout import Ask, Sample, load_rollouts, rollouts_file

MODEL_OF = {"general": "helpful", "safety": "safe"}


class Prompts:
    """The training problems of a stage in a seeded order of each epoch; a step's prompts follow from its number.

    `chosen` (RL_PROMPTS): the verified problems to ask, and their shares of correct ones, by which `easy_first` orders.
    """

    def __init__(self, problems: pl.DataFrame, params: GrpoParams, chosen: pl.DataFrame | None = None) -> None:
        assert chosen is not None or not params.by_difficulty, "the recipe's graph gives them"
        self.params = params
        # of one prompt the smoothed share is nearer to the truth than the unbiased pass_rate, which is for averages
        share = pl.when(pl.col("decided") > 0).then((pl.col("correct") + 0.5) / (pl.col("decided") + 1))
        self._rates = {} if chosen is None else dict(chosen.select("problem_id", share.alias("share")).iter_rows())
        learn = problems.filter(pl.col("split") == "train").sort("problem_id").to_dicts()
        verified = [r for r in learn if r["kind"] in VERIFIED]
        self.verified = verified if chosen is None else [r for r in verified if r["problem_id"] in self._rates]
        self.general = [r for r in learn if r["kind"] in MODEL_OF]
        self._orders: dict[tuple[bool, int], list[dict[str, Any]]] = {}

    def of_step(self, step: int) -> list[Ask]:
        """The prompts of a step: `general_share` of them general from `general_from_step` on."""
        share = self.params.general_share if step >= self.params.general_from_step else 0.0
        general = round(self.params.prompts_per_step * share)
        rows = self._turn(False, step, self.params.prompts_per_step - general) + self._turn(True, step, general)
        return [
            Ask(
                problem_id=r["problem_id"],
                prompt=self.params.template.replace("{question}", r["question"]),
                answer=r["answer"] or "",
                language=r["language"],
                kind=r["kind"],
            )
            for r in rows
        ]

    def probe_texts(self) -> list[str]:
        """Prompts whose log-probs go into the manifest."""
        rows = (self.verified or self.general)[:4]
        return [self.params.template.replace("{question}", r["question"]) for r in rows]

    def _turn(self, general: bool, step: int, count: int) -> list[dict[str, Any]]:
        """`count` problems: consecutive ones of the epochs' orders."""
        rows = self.general if general else self.verified
        if count and not rows:
            kind = "general or safety" if general else " or ".join(VERIFIED)
            raise RecipeError(f"no training problems of kind {kind}", "add a source of that kind to the recipe")
        places = [divmod(position, len(rows)) for position in range(step * count, (step + 1) * count)]
        return [self._order(general, epoch)[place] for epoch, place in places]

    def _order(self, general: bool, epoch: int) -> list[dict[str, Any]]:
        if (general, epoch) not in self._orders:
            rows = self.general if general else self.verified
            ordered = sorted(rows, key=lambda r: row_id(self.params.seed, epoch, r["problem_id"]))
            if self.params.curriculum == "easy_first":
                ordered.sort(key=self._difficulty)  # stable: ties stay in the seeded order
            self._orders[general, epoch] = ordered
        return self._orders[general, epoch]

    def _difficulty(self, row: dict[str, Any]) -> float:
        """From -1 (always right) to 0 (never), then the unknown."""
        rate = self._rates.get(row["problem_id"])
        return 1.0 if rate is None else -rate


class Grader:
    """Rules for reasoning prompts, reward models for general and safety prompts (paper Eq. 8-10)."""

    def __init__(self, job: Job, prompts: Prompts, params: GrpoParams) -> None:
        self.reward = params.reward
        kinds = {r["kind"] for r in prompts.general} if params.general_share else set[str]()
        missing = sorted(MODEL_OF[k] for k in kinds if MODEL_OF[k] not in job.inputs)
        if missing:
            raise RecipeError(
                f"{job.node.name}: general_share {params.general_share}, but no reward model {', '.join(missing)}",
                "set general_share = 0 or give the reward models",
            )
        dtype = params.optimizer.dtype
        self.models = {MODEL_OF[k]: RewardModel(job.model_folder(MODEL_OF[k]), dtype) for k in sorted(kinds)}

    def graded(self, asks: list[Ask], samples: list[Sample]) -> list[Sample]:
        """The samples with reward, components and measures."""
        rule = [s for s in samples if asks[s.ask].kind in VERIFIED]
        found = judged([Asked(s.text, s.finish_reason, asks[s.ask].answer, asks[s.ask].kind) for s in rule])
        for s, verdict in zip(rule, found, strict=True):
            scored = score_completion(s.text, s.finish_reason, verdict, asks[s.ask].language, self.reward)
            s.reward, s.components, s.verdict = scored.reward, scored.components, scored.verdict
            s.format_ok, s.consistency = scored.format_ok, scored.consistency
            s.reflection_words = scored.reflection_words
        self._by_model(asks, samples, "general", self.reward.helpful_weight)
        self._by_model(asks, samples, "safety", self.reward.safe_weight)
        return samples

    def _by_model(self, asks: list[Ask], samples: list[Sample], kind: str, weight: float) -> None:
        mine = [s for s in samples if asks[s.ask].kind == kind]
        if not mine:
            return
        # helpfulness is judged on the summary alone, safety on everything (paper 3.1)
        texts = [asks[s.ask].prompt + (summary(s.text) if kind == "general" else s.text) for s in mine]
        for s, r in zip(mine, self.models[MODEL_OF[kind]].rewards(texts), strict=True):
            s.reward = weight * r
            s.components = {MODEL_OF[kind]: s.reward}


def advantages_of(samples: list[Sample], params: GrpoParams) -> torch.Tensor:
    """[samples] group advantages; samples without a reward leave their group."""
    rewards = torch.tensor([float("nan") if s.reward is None else s.reward for s in samples])
    return advantages(rewards.view(-1, params.group), params.advantage).flatten()


def measures_of(samples: list[Sample]) -> dict[str, float]:
    """What a person watches: means over the step's samples, each over those for which it is defined."""
    rule = [s for s in samples if s.verdict]
    found: dict[str, float] = {
        "reward": _mean([s.reward for s in samples]),
        "accuracy": _mean([float(s.verdict == "correct") for s in rule if s.verdict != "undecided"]),
        "format": _mean([float(s.format_ok) for s in rule]),
        "language_consistency": _mean([s.consistency for s in rule]),
        "completion_tokens": _mean([float(len(s.token_ids)) for s in samples]),
        "reflection_words": _mean([float(s.reflection_words) for s in rule]),
        "undecided": _mean([float(s.reward is None) for s in samples]),
        "truncated": _mean([float(s.finish_reason != "stop") for s in samples]),
        "zero_variance": _zero_variance(samples),
    }
    for name in sorted({n for s in samples for n in s.components or {}}):
        found[f"reward_{name}"] = _mean([(s.components or {}).get(name) for s in samples])
    return {k: v for k, v in found.items() if v == v}


def _zero_variance(samples: list[Sample]) -> float:
    """Share of the groups with a decided sample whose rewards are all equal: they teach nothing."""
    groups: dict[int, set[float]] = {}
    for s in samples:
        if s.reward is not None:
            groups.setdefault(s.ask, set()).add(s.reward)
    return _mean([float(len(rewards) == 1) for rewards in groups.values()])


def _mean(values: list[float | None]) -> float:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else float("nan")


def rollouts_table(job: Job, params: GrpoParams, prompts: Prompts) -> pa.Table:
    """ROLLOUTS of all steps, from their records."""
    rows = []
    for step in range(params.steps):
        asks = prompts.of_step(step)
        samples = load_rollouts(rollouts_file(job.scratch, step))
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
                "advantage": advantage if s.reward is not None else None,
            }
            for s, advantage in zip(samples, advantages_of(samples, params).tolist(), strict=True)
        ]
    return TABLES["rollouts"].conform(pa.Table.from_pylist(rows, schema=TABLES["rollouts"].schema))
