"""Whether the judge still prefers what the reward model prefers: more preference reward leads to hacking (paper 3.2.2).

General prompts have no reference answers: of each the completions with the highest and the lowest reward are compared,
in both orders. A reward that is hacked rises while the judge prefers its choice no more.
"""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch.distributed as dist

from r1data.digest import row_id, seed_from
from r1data.endpoint import Endpoint
from r1data.errors import RecipeError, StageFailed, boundary
from r1data.generate.client import CompletionRequest, Decoding, completions
from r1data.judge.pairs import POINTS, orders, points_of
from r1data.judge.reading import verdict_in
from r1data.rewards.format import summary
from r1data.settings import Settings
from r1data.training_params import DriftParams
from training.collecting import Collected
from training.core import Trainer
from training.job import Job
from training.prompts import MODEL_OF, Prompts

KIND = "general"
Record = list[dict[str, Any]]  # a prompt each: problem_id, reward, points of each order (none: left out), reason


@dataclass
class Drift:
    """Compares every `every` steps; called on every rank, rank 0 asks the recipe's judge. Nothing where that is 0.

    What it said is written down before it is used: a resumed run does not ask again. Raises `EndpointError`.
    """

    job: Job
    params: DriftParams
    prompts: Prompts
    trainer: Trainer

    def __post_init__(self) -> None:
        if self.params.every and self.job.judge is None:
            raise RecipeError(f"{self.job.node.name}: drift.every is set, but no judge", "give the recipe a [judge]")

    def look(self, found: Collected) -> dict[str, float]:
        """Metrics of a check after the step in progress; empty where none is due, or no general prompt was asked."""
        step = self.trainer.step + 1
        if not self.params.every or step % self.params.every or not any(a.kind == KIND for a in found.asks):
            return {}
        box = [self._record(found, step) if self.trainer.rank == 0 else None]
        if self.trainer.world > 1:
            dist.broadcast_object_list(box)
        first = next((m for m in self.trainer.metrics if "judge_score" in m), None)
        return measured(box[0] or [], self.params.least, first)

    def _record(self, found: Collected, step: int) -> Record:
        path = self.job.scratch / "judgements" / f"step-{step:06d}.json"
        if path.exists():
            with boundary(StageFailed, f"{path}: recorded judgements do not load", "delete it: they are asked again"):
                kept: Record = json.loads(path.read_text(encoding="utf-8"))
            return kept
        record = self._judged(self._pairs(found), step)
        path.parent.mkdir(exist_ok=True)
        beside = path.with_name(f".{path.name}")
        beside.write_text(json.dumps(record, ensure_ascii=False), encoding="utf-8")
        beside.replace(path)
        return record

    def _pairs(self, found: Collected) -> Record:
        """The best and the worst rewarded of every general prompt of the step, of at most `pairs` of them."""
        groups = {i: a.problem_id for i, a in enumerate(found.asks) if a.kind == KIND}
        asked, rows = {r["problem_id"]: r["question"] for r in self.prompts.general}, Record()
        for i in sorted(groups, key=lambda i: row_id("drift", groups[i], i))[: self.params.pairs]:
            earned = [((s.components or {})[MODEL_OF[KIND]], s.index, s) for s in found.samples if s.ask == i]
            whole = sorted(e for e in earned if e[2].finish_reason == "stop" and summary(e[2].text))
            spread = bool(whole) and whole[0][0] < whole[-1][0]
            sides = {"low": summary(whole[0][2].text), "high": summary(whole[-1][2].text)} if spread else {}
            told = {"problem_id": groups[i], "question": asked[groups[i]], "points": []}
            told["reward"] = sum(r for r, *_ in earned) / len(earned)
            rows.append({**told, **sides, "reason": "" if spread else "no_spread"})
        return rows

    def _judged(self, rows: Record, step: int) -> Record:
        judge = self.job.judge
        assert judge is not None, "looked at when this was made"
        both = [r for r in rows if "low" in r]
        sides = [[{"question": r["question"], "summary": r[s]} for s in ("high", "low")] for r in both]
        texts = sorted({text for high, low in sides for text in orders(judge.pair_template, high, low)})
        requests = [CompletionRequest(t, self.params.votes // 2, seed_from(step, t) >> 1) for t in texts]
        key = Settings.from_environment().teacher_key
        endpoint = Endpoint(judge.urls[0], judge.model, api_key=key, chat=judge.chat)
        answers = completions(endpoint, requests, Decoding(judge.temperature, 1.0, judge.max_tokens))
        read = [[verdict_in(c.text, c.finish_reason, POINTS) for c in group] for group in answers]
        votes = dict(zip(texts, read, strict=True))
        for row, (high, low) in zip(both, sides, strict=True):
            row["points"], _ = points_of(judge.pair_template, high, low, votes)
            row["reason"] = "" if row["points"] else "unreadable_judgement"
        return rows


def measured(record: Record, least: int, first: dict[str, float] | None) -> dict[str, float]:
    """Metrics of a check, `first` those of the first one.

    `judge_score` is from -1 to 1: 1 where the judge finds what the reward prefers much better. `drift` is by how many
    standard errors it has fallen since the first check; 0 where it has not, or the reward has not risen. Of fewer than
    `least` readable pairs there are only the counts of those left out.
    """
    told = {f"judge_{n}": float(sum(r["reason"] == n for r in record)) for n in ("no_spread", "unreadable_judgement")}
    scores = [sum(r["points"]) / len(r["points"]) / 2 for r in record if r["points"]]
    told["judge_pairs"] = float(len(scores))
    if len(scores) < least:
        return told
    reward, score = sum(r["reward"] for r in record) / len(record), sum(scores) / len(scores)
    # one pair more on either side: pairs that all agree leave an error, too
    error = float(np.std([*scores, -1.0, 1.0], ddof=1)) / len(scores) ** 0.5
    was = first or {"reward_score": reward, "judge_score": score, "judge_error": error}
    fall = max(0.0, was["judge_score"] - score) if reward > was["reward_score"] else 0.0
    drift = fall / float(np.hypot(error, was["judge_error"]))
    return told | {"reward_score": reward, "judge_score": score, "judge_error": error, "drift": drift}
