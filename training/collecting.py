"""What one step learns from: samples recorded by a run before this one, else new ones from the engine, graded.

Dynamic sampling (DAPO): a group whose rewards are all alike has no advantage. For at most `dynamic_sampling` rounds
other prompts, the next ones of the epoch, are asked in its place. The batch keeps its size: what the rounds cannot fill
is filled by groups that teach nothing. Every sample that was asked stays in the record.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch.distributed as dist

from r1data.errors import StageFailed
from r1data.generate.client import Decoding
from r1data.training_params import GrpoParams
from training.core import Trainer
from training.engine import Engine
from training.grading import Grader
from training.job import Job
from training.prompts import Extra, Prompts
from training.rollout import Ask, Sample, load_rollouts, requests_of, rollouts_file, samples_of, save_rollouts

Answers = Callable[[list[Ask], int], list[Sample]]  # of all asks of a step so far those of asks[first:]


@dataclass(frozen=True)
class Collected:
    """All asks of a step and their samples, group after group; `chosen`: those of the batch; `extra`: prompts more."""

    asks: list[Ask]
    samples: list[Sample]
    chosen: list[Sample]
    extra: Extra

    def measures(self, params: GrpoParams) -> dict[str, float]:
        """Groups without spread, of all that were asked; and how many more were asked, which a resumed run needs."""
        groups = [self.samples[i : i + params.group] for i in range(0, len(self.samples), params.group)]
        found = {"zero_variance": sum(not has_spread(g) for g in groups) / len(groups)}
        if params.dynamic_sampling:
            found |= {"extra_verified": float(self.extra[0]), "extra_general": float(self.extra[1])}
        return found


def has_spread(group: list[Sample]) -> bool:
    """Whether the decided samples of a group earned different rewards; undecided ones say nothing."""
    return len({s.reward for s in group if s.reward is not None}) > 1


def collected(prompts: Prompts, params: GrpoParams, step: int, before: Extra, answers: Answers) -> Collected:
    """The rounds of a step; `before`: extra prompts of the steps before; `answers` gives samples."""
    asks, samples = list[Ask](), list[Sample]()
    new, extra = prompts.of_step(step, before), (0, 0)
    wanted = (sum(not a.general for a in new), sum(a.general for a in new))
    for left in range(params.dynamic_sampling, -1, -1):
        asks += new
        samples += answers(asks, len(asks) - len(new))
        useful, batch = _batch(asks, samples, params.group, wanted)
        missing = (wanted[0] - useful[0], wanted[1] - useful[1])
        if not left or not any(missing):
            break
        new = prompts.more(step, (before[0] + extra[0], before[1] + extra[1]), missing)
        extra = (extra[0] + missing[0], extra[1] + missing[1])
    return Collected(asks, samples, [s for s in samples if s.ask in batch], extra)


def _batch(asks: list[Ask], samples: list[Sample], group: int, wanted: Extra) -> tuple[Extra, set[int]]:
    """(groups with spread of each kind, the batch): of each kind those with spread first, in the order of asking."""
    batch, useful = set[int](), [0, 0]
    spread = [has_spread(samples[i : i + group]) for i in range(0, len(samples), group)]
    for general, count in enumerate(wanted):
        mine = [i for i, a in enumerate(asks) if a.general == bool(general)]
        useful[general] = sum(spread[i] for i in mine)
        batch |= set(sorted(mine, key=lambda i: not spread[i])[:count])
    return (useful[0], useful[1]), batch


@dataclass
class Collector:
    """Collects step after step; called on every rank, with the same result on each."""

    job: Job
    params: GrpoParams
    trainer: Trainer
    engine: Engine
    prompts: Prompts
    grader: Grader

    def of_step(self, step: int) -> Collected:
        """The step's samples; `StageFailed` where all are undecided: nothing could be learnt."""
        path = rollouts_file(self.job.scratch, step)
        recorded: list[Sample] = self._everywhere(load_rollouts(path) if self.trainer.rank == 0 else None) or []
        loaded = False

        def answers(asks: list[Ask], first: int) -> list[Sample]:
            nonlocal loaded, recorded
            found = [s for s in recorded if first <= s.ask < len(asks)]
            if not found:
                if not loaded:
                    self.engine.load(self.trainer.named_weights(), self.version(step))
                    loaded = True
                found = self._asked(asks, step, first)
                recorded = [*recorded, *found]
                if self.trainer.rank == 0:
                    save_rollouts(path, recorded)
            return found

        past = self.trainer.metrics[:step]
        before = tuple(int(sum(m.get(n, 0) for m in past)) for n in ("extra_verified", "extra_general"))
        found = collected(self.prompts, self.params, step, (before[0], before[1]), answers)
        if all(s.reward is None for s in found.samples):
            raise StageFailed(
                f"step {step + 1}: every sample is undecided",
                f"look at the verifier and the gold answers; the samples are in {path}",
            )
        return found

    def version(self, step: int) -> str:
        """What the engine is told that the weights of a step are called."""
        return f"{self.job.key[:8]}-{step}"

    def note_kl(self, step: int, found: Collected, divergences: list[float]) -> None:
        """Write down the divergence of each sample of the batch, a part of its reward."""
        for sample, kl in zip(found.chosen, divergences, strict=True):
            sample.kl = kl
        if self.trainer.rank == 0:
            save_rollouts(rollouts_file(self.job.scratch, step), found.samples)

    def _asked(self, asks: list[Ask], step: int, first: int) -> list[Sample]:
        """New samples from the engine."""
        params, limit = self.params, self.params.tokens_at(step)
        requests = requests_of(asks[first:], params, step, first)
        decoding = Decoding(params.temperature, params.top_p, limit, logprobs=True)
        answers = self.engine.complete(requests, decoding)
        mine = None
        if self.trainer.rank == 0:
            mine = self.grader.graded(asks, samples_of(requests, answers), limit)
        found: list[Sample] = self._everywhere(mine)
        return found

    def _everywhere(self, mine: Any) -> Any:
        """What rank 0 has, on every rank."""
        box = [mine]
        if self.trainer.world > 1:
            dist.broadcast_object_list(box)
        return box[0]
