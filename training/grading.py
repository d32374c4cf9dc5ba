"""What completions earn, the advantages that follow, and the record of it all as a table."""

from dataclasses import replace

import torch

from r1data.errors import RecipeError, StageFailed, boundary
from r1data.rewards.format import summary
from r1data.rewards.kinds import VERIFIED
from r1data.rewards.score import score_completion
from r1data.training_params import GrpoParams
from r1data.verify.verdicts import Asked, judged
from training.job import Job
from training.losses import advantages
from training.prompts import MODEL_OF, Prompts
from training.reward_model import RewardModel
from training.rollout import Ask, Sample


class Grader:
    """Rules for reasoning prompts, reward models for general and safety prompts (paper Eq. 8-10)."""

    def __init__(self, job: Job, prompts: Prompts, params: GrpoParams) -> None:
        self.params, self.reward = params, params.reward
        kinds = {r["kind"] for r in prompts.general} if params.general_share else set[str]()
        missing = sorted(MODEL_OF[k] for k in kinds if MODEL_OF[k] not in job.inputs)
        if missing:
            raise RecipeError(
                f"{job.node.name}: general_share {params.general_share}, but no reward model {', '.join(missing)}",
                "set general_share = 0 or give the reward models",
            )
        dtype = params.optimizer.dtype
        self.models = {MODEL_OF[k]: RewardModel(job.model_folder(MODEL_OF[k]), dtype) for k in sorted(kinds)}

    def graded(self, asks: list[Ask], samples: list[Sample], limit: int) -> list[Sample]:
        """The samples with reward, components and measures; `limit`: the most tokens that one could have.

        A reward that raises ends the stage as `StageFailed`: a number in its place would be learnt from.
        """
        with boundary(StageFailed, "a reward failed", "mend it and run again: from the last saved state, asked anew"):
            self._score(asks, samples)
            for s in samples:
                if self.params.overlong == "penalty":
                    add_component(s, "overlong", -self.params.overlong_weight * overlong(s, limit, self.params))
        return samples

    def _score(self, asks: list[Ask], samples: list[Sample]) -> None:
        rule = [s for s in samples if asks[s.ask].kind in VERIFIED]
        found = judged([Asked(s.text, s.finish_reason, asks[s.ask].answer, asks[s.ask].kind) for s in rule])
        for s, verdict in zip(rule, found, strict=True):
            scored = score_completion(s.text, s.finish_reason, verdict, asks[s.ask].language, self.reward)
            s.reward, s.components, s.verdict = scored.reward, scored.components, scored.verdict
            s.format_ok, s.consistency = scored.format_ok, scored.consistency
            s.reflection_words = scored.reflection_words
        self._by_model(asks, samples, "general", self.reward.helpful_weight)
        self._by_model(asks, samples, "safety", self.reward.safe_weight)

    def _by_model(self, asks: list[Ask], samples: list[Sample], kind: str, weight: float) -> None:
        mine = [s for s in samples if asks[s.ask].kind == kind]
        if not mine:
            return
        # helpfulness is judged on the summary alone, safety on everything (paper 3.1)
        texts = [asks[s.ask].prompt + (summary(s.text) if kind == "general" else s.text) for s in mine]
        for s, r in zip(mine, self.models[MODEL_OF[kind]].rewards(texts), strict=True):
            s.reward = weight * r
            s.components = {MODEL_OF[kind]: s.reward}


def overlong(sample: Sample, limit: int, params: GrpoParams) -> float:
    """From 0 to 1: how far a completion reaches into the last `overlong_buffer` tokens (DAPO, Eq. 13)."""
    if not params.overlong_buffer:
        return float(sample.finish_reason == "length")
    into = len(sample.token_ids) - (limit - params.overlong_buffer)
    return min(1.0, max(0.0, into / params.overlong_buffer))


def add_component(sample: Sample, name: str, value: float) -> None:
    """One more named part of a reward; what is undecided stays so."""
    sample.components = {**(sample.components or {}), name: value}
    if sample.reward is not None:
        sample.reward += value


def penalised(samples: list[Sample], params: GrpoParams) -> list[Sample]:
    """The samples with the reward component `kl`, where the recipe has one and their divergence is known."""
    if params.kl_place == "loss":
        return samples
    copies = [replace(s) for s in samples]
    for s in copies:
        if s.kl is not None:
            add_component(s, "kl", -params.kl * s.kl)
    return copies


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
    }
    for name in sorted({n for s in samples for n in s.components or {}}):
        found[f"reward_{name}"] = _mean([(s.components or {}).get(name) for s in samples])
    return {k: v for k, v in found.items() if v == v}


def _mean(values: list[float | None]) -> float:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else float("nan")
