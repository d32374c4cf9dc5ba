"""What one step learns from: samples recorded by a run before this one, else new ones from the engine, graded.

Dynamic sampling (DAPO): a group whose rewards are all alike has no advantage. For at most `dynamic_sampling` rounds
other prompts, the next ones of the epoch, are asked in its place. The batch keeps its size: what the rounds cannot fill
is filled by groups that teach nothing. Every sample that was asked stays in the record.

With `max_staleness` 1 a thread fills the record of the next step while this one trains, by the weights of this step's
beginning. A step whose record is filled is replayed from it, as a resumed run does. Weights are loaded only while no
request is in flight, and before a state is saved the record of the next step is whole: what a resumed run could not ask
again, since the weights are gone, it never has to.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch.distributed as dist

from r1data.errors import EndpointError, ModelError, StageFailed
from r1data.generate.client import Decoding
from r1data.training_params import GrpoParams
from training.checkpoint import probe
from training.core import Trainer
from training.engine import Engine
from training.grading import Grader
from training.job import Job
from training.prompts import Extra, Prompts
from training.rollout import Ask, Sample, load_rollouts, requests_of, rollouts_file, samples_of, save_rollouts


class NotRecorded(Exception):
    """A round of a step that was not written down."""


@runtime_checkable
class Probed(Protocol):
    """An engine that tells log-probs of prompts."""

    def prompt_logprobs(self, token_ids: list[int]) -> list[list[float]]:
        """Those of all tokens but the first, by each of its servers."""
        ...


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

    def staleness(self, step: int) -> float:
        """Mean number of steps between the weights that the batch was sampled with and those that learn from it."""
        return sum(step - s.weights for s in self.chosen) / len(self.chosen)


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


def part_of(recorded: list[Sample], params: GrpoParams, step: int, asks: list[Ask], first: int) -> list[Sample]:
    """The recorded answers of a round; `NotRecorded` where there are none, or of other prompts.

    Prompts are others where an earlier step was asked anew and needed more or fewer of them: seeds tell.
    """
    found = [s for s in recorded if first <= s.ask < len(asks)]
    seeds = [r.seed for r in requests_of(asks, params, step)]
    if not found or any(s.seed - s.index != seeds[s.ask] for s in found):
        raise NotRecorded
    return found


@dataclass
class Collector:
    """Collects step after step; called on every rank, with the same result on each. `close` it however the run ends."""

    job: Job
    params: GrpoParams
    trainer: Trainer
    engine: Engine
    prompts: Prompts
    grader: Grader
    tokenizer: Any
    loaded: int | None = None  # step of the weights that the engine has
    waited: float = 0.0
    ahead: Future[None] | None = None
    ended: bool = False

    def __post_init__(self) -> None:
        self.trainer.before_save = self.settle
        self.thread = ThreadPoolExecutor(1, "ahead")

    def of_step(self, step: int) -> Collected:
        """The step's samples, the next step's asked for; `StageFailed` where all are undecided: nothing to learn."""
        past = self.trainer.metrics[:step]
        before = tuple(int(sum(m.get(n, 0) for m in past)) for n in ("extra_verified", "extra_general"))
        with self._waiting():
            self._wait()
            found = collected(self.prompts, self.params, step, (before[0], before[1]), self._answers(step))
            if all(s.reward is None for s in found.samples):
                raise StageFailed(
                    f"step {step + 1}: every sample is undecided",
                    f"look at the verifier and the gold answers; the samples are in {self._path(step)}",
                )
            if self.params.max_staleness and step + 1 < self.params.steps:
                self._ask_ahead(step + 1, (before[0] + found.extra[0], before[1] + found.extra[1]))
        return found

    def version(self, step: int) -> str:
        """What the engine is told that the weights of a step are called."""
        return f"{self.job.key[:8]}-{step}"

    def note_kl(self, step: int, found: Collected, divergences: list[float]) -> None:
        """Write down the divergence of each sample of the batch, a part of its reward."""
        for sample, kl in zip(found.chosen, divergences, strict=True):
            sample.kl = kl
        if self.trainer.rank == 0:
            save_rollouts(self._path(step), found.samples)

    def settle(self) -> None:
        """Until no request is in flight, and what was asked ahead is written down; before a state is saved."""
        with self._waiting():
            self._wait()

    def waiting_s(self) -> float:
        """Seconds spent on getting rollouts since the last call."""
        waited, self.waited = self.waited, 0.0
        return waited

    def close(self) -> None:
        """The round in flight is waited for and written down: a run after this one need not ask it again."""
        self.ended = True
        self.thread.shutdown()

    def forget(self, step: int) -> None:
        """Throw away what the engine gave by other weights than it said: a step's record, and what was asked since."""
        self.close()
        mine = self._path(step)
        for path in mine.parent.glob("step-*.parquet") if self.trainer.rank == 0 else ():
            if path.name >= mine.name:
                path.unlink()

    def untrained(self) -> dict[str, int]:
        """For the manifest, once closed: samples asked ahead of a step that did not come, as a rule ended the stage."""
        left = load_rollouts(self._path(self.trainer.step)) or []
        return {"rollouts_not_trained": len(left)} if left else {}

    def _wait(self) -> None:
        """Until nothing is in flight; raises what went wrong there."""
        asked, self.ahead = self.ahead, None
        if asked is not None:
            asked.result()

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.waited += time.monotonic() - began

    def _path(self, step: int) -> Path:
        return rollouts_file(self.job.scratch, step)

    def _recorded(self, step: int) -> list[Sample]:
        """What is written down of a step, on rank 0; nothing of it where it is too old to learn from."""
        found = load_rollouts(self._path(step)) or []
        oldest, limit = min((s.weights for s in found), default=step), self.params.max_staleness
        if step - oldest > limit:
            told = f"step {step + 1}: recorded rollouts are of the weights after step {oldest}"
            print(f"{told}, older than max_staleness {limit} allows: asked again", flush=True)
            return []
        return found

    def _answers(self, step: int) -> Answers:
        """Recorded ones, else new ones of the policy as it is; collective."""
        recorded: list[Sample] = self._everywhere(self._recorded(step) if self.trainer.rank == 0 else None)

        def answers(asks: list[Ask], first: int) -> list[Sample]:
            nonlocal recorded
            try:
                return part_of(recorded, self.params, step, asks, first)
            except NotRecorded:
                self._load()
            found: list[Sample] = self._everywhere(self._asked(asks, step, first))
            recorded = [*(s for s in recorded if s.ask < first), *found]
            if self.trainer.rank == 0:
                save_rollouts(self._path(step), recorded)
            return found

        return answers

    def _ask_ahead(self, step: int, before: Extra) -> None:
        """Have the record of a later step filled by the policy as it is, unless it is whole; collective."""
        recorded = self._recorded(step) if self.trainer.rank == 0 else []
        if self._everywhere(self._whole(step, before, recorded) if self.trainer.rank == 0 else None):
            return
        self._load()
        if self.trainer.rank == 0:
            self.ahead = self.thread.submit(self._fill, step, before, recorded)

    def _whole(self, step: int, before: Extra, recorded: list[Sample]) -> bool:
        try:
            collected(self.prompts, self.params, step, before, partial(part_of, recorded, self.params, step))
        except NotRecorded:
            return False
        return True

    def _fill(self, step: int, before: Extra, recorded: list[Sample]) -> None:
        """All rounds of a step, written down one by one; in the thread of rank 0, so nothing in it is collective."""

        def answers(asks: list[Ask], first: int) -> list[Sample]:
            nonlocal recorded
            try:
                return part_of(recorded, self.params, step, asks, first)
            except NotRecorded:
                if self.ended:  # what is written down so far is
                    raise
                found = self._asked(asks, step, first) or []
            recorded = [*(s for s in recorded if s.ask < first), *found]
            save_rollouts(self._path(step), recorded)
            return found

        collected(self.prompts, self.params, step, before, answers)

    def _load(self) -> None:
        """Give the engine the policy's weights, unless it has them; nothing is in flight; collective."""
        now = self.trainer.step
        if self.loaded == now:
            return
        self.loaded = None
        self.engine.load(self.trainer.named_weights(self.engine.device), self.version(now))
        if self.params.max_staleness and isinstance(self.engine, Probed):
            self._check_load(self.engine)
        self.loaded = now

    def _check_load(self, engine: Probed) -> None:
        """`ModelError` where prompts have other log-probs in the engine: later ones will be of older weights anyway."""
        told = probe(self.trainer.engine, self.tokenizer, self.prompts.probe_texts())
        if self.trainer.rank:
            return
        gaps: dict[int, list[float]] = {}
        for ids, own in zip(told["prompts"], told["logprobs"], strict=True):
            for server, given in enumerate(engine.prompt_logprobs(ids)):
                if len(given) != len(own):
                    raise EndpointError(
                        f"the engine gave {len(given)} log-probs of a prompt of {len(own) + 1} tokens: whether it has "
                        "the new weights cannot be told",
                        "set max_staleness = 0, or take a server that gives prompt_logprobs",
                    )
                gaps.setdefault(server, []).extend(abs(a - b) for a, b in zip(given, own, strict=True))
        mean = max((sum(g) / max(1, len(g)) for g in gaps.values()), default=0.0)
        if not mean <= self.params.max_mismatch:
            raise ModelError(
                f"trainer and engine log-probs of prompts differ by {mean:.4f} nats a token right after new weights, "
                f"more than {self.params.max_mismatch}",
                "the engine holds stale weights: see its log; nothing was asked of it, nothing is committed",
            )

    def _asked(self, asks: list[Ask], step: int, first: int) -> list[Sample] | None:
        """New samples from the engine, graded; None on other ranks than 0."""
        params, limit = self.params, self.params.tokens_at(step)
        assert self.loaded is not None, "asked before any weights were loaded"
        requests = requests_of(asks[first:], params, step, first)
        decoding = Decoding(params.temperature, params.top_p, limit, logprobs=True)
        answers = self.engine.complete(requests, decoding)
        if self.trainer.rank:
            return None
        samples = samples_of(requests, answers, self.loaded)
        if step > self.loaded and not all(s.logprobs for s in samples):
            raise EndpointError(
                "rollouts of older weights came without log-probs: how likely they were is not known any more",
                "set max_staleness = 0, or take a server that gives log-probs",
            )
        return self.grader.graded(asks, samples, limit)

    def _everywhere(self, mine: Any) -> Any:
        """What rank 0 has, on every rank."""
        box = [mine]
        if self.trainer.world > 1:
            dist.broadcast_object_list(box)
        return box[0]
