"""Sample prompts until each has enough: a fixed number of candidates in flight over all prompts, every answer recorded
as it ends and judged beside the generation, so that a prompt stops at its round's end and a hard one goes on.

Invariant: which samples a prompt gets follows from their verdicts in rounds (`SamplingParams.next_round`) and not from
the order of arrival, so that a run that was interrupted takes the same ones.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import polars as pl

from r1data.errors import ContextOverflow, RunStopped, first_error
from r1data.generate.client import Completion, CompletionRequest, Decoding, complete
from r1data.generate.pool import Pool
from r1data.generate.recorder import Recorder
from r1data.generate.router import Router
from r1data.generate.sampling import Prompt
from r1data.progress import Progress, Watch
from r1data.sampling_params import SamplingParams
from r1data.spending import Spending

TICK_S = 0.5
CHILDREN = 16


class Answered(NamedTuple):
    """What a judge is shown of a candidate."""

    problem_id: str
    completion: str
    finish_reason: str
    tokens: int


class Outcome(NamedTuple):
    """What a judge says: whether the candidate counts for the prompt's `stop_at`; `undecided` is neither."""

    accepted: bool = False
    undecided: bool = False


Judge = Callable[[Sequence[Answered]], Sequence[Outcome]]
_UNJUDGED = Outcome(undecided=True)


@dataclass(slots=True)
class Turn:
    """A prompt and its rounds: `asked` samples up to the end of the present one; `open` of them have no outcome yet."""

    prompt: Prompt
    asked: int = 0
    accepted: int = 0
    undecided: int = 0
    open: int = 0
    refused: str = ""
    found: dict[int, Outcome] = field(default_factory=dict)

    def count(self, outcome: Outcome) -> None:
        """One more of the present round has its outcome."""
        self.open -= 1
        self.accepted += outcome.accepted
        self.undecided += outcome.undecided

    def advance(self, sampling: SamplingParams) -> list[int]:
        """Begin rounds for as long as recorded candidates fill them; the samples to ask for, none at the end."""
        while not self.open:
            size = sampling.next_round(self.asked, self.accepted, self.undecided)
            if not size:
                return []
            present = range(self.asked, self.asked + size)
            self.asked, self.open = self.asked + size, size
            missing = [i for i in present if i not in self.found]
            for i in present:
                if i in self.found:
                    self.count(self.found.pop(i))
            if missing:
                return missing
        return []


class Sampler:
    """One run over the prompts; `load` first, then `run` if anything `remains`."""

    def __init__(
        self,
        pool: Pool,
        prompts: Iterable[Prompt],
        sampling: SamplingParams,
        judge: Judge | None,
        progress: Progress,
        watch: Watch,
        spending: Spending,
        in_flight: int,
    ) -> None:
        self.pool, self.sampling, self.judge = pool, sampling, judge
        self.progress, self.watch, self.spending, self.in_flight = progress, watch, spending, in_flight
        # neighbours share a prefix, which the server then has in its cache
        self.turns = {p.text: Turn(p) for p in sorted(prompts, key=lambda p: p.text)}
        self.decoding = Decoding(
            sampling.temperature,
            sampling.top_p,
            sampling.max_tokens,
            logprobs=sampling.logprobs,
            continue_once=sampling.truncated == "continue",
        )
        self.waiting: deque[CompletionRequest] = deque()
        self.recorder = Recorder(pool)
        self.unjudged: list[tuple[Turn, Answered]] = []
        self.judging = self.flying = 0
        self.own_devices = True
        self.stopped = threading.Event()

    def load(self) -> None:
        """Take in what is recorded, judged again where verdicts decide how much is asked."""
        for table in self.pool.tables(["prompt", "sample_index", "completion", "finish_reason", "completion_tokens"]):
            frame = pl.DataFrame(table).filter(pl.col("sample_index") < self.sampling.cap)
            rows = [(t, r) for r in frame.iter_rows() if (t := self.turns.get(r[0])) and r[1] not in t.found]
            shown = [Answered(t.prompt.problem_id, *r[2:]) for t, r in rows]
            adaptive = self.judge is not None and self.sampling.stop_at is not None
            outcomes = self.judge(shown) if adaptive and self.judge else [_UNJUDGED] * len(rows)
            for (turn, row), outcome in zip(rows, outcomes, strict=True):
                turn.found[row[1]] = outcome
        for turn in self.turns.values():
            self.progress.recorded += len(turn.found)
            self._ask(turn)
        self.progress.prompts = len(self.turns)

    @property
    def remains(self) -> bool:
        """Whether anything has to be asked."""
        return bool(self.waiting)

    def taken(self) -> dict[Prompt, int]:
        """How many samples each prompt has in the end."""
        return {t.prompt: t.asked for t in self.turns.values()}

    async def run(self, router: Router) -> None:
        """Ask, record, judge, until every prompt has enough or the budget is spent; what arrived is flushed always."""
        self.progress.started = time.monotonic()
        self.woken = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as group:
                ticking = group.create_task(self._tick(len(router.backends) * self.own_devices))
                judging = group.create_task(self._judge_all())
                await self._feed(router, group)
                ticking.cancel()
                judging.cancel()
        except BaseExceptionGroup as group:
            raise first_error(group) from None
        finally:
            try:
                await self.recorder.close()
            finally:
                self.progress.ended = time.monotonic()
                self.watch(self.progress)

    def spent(self) -> str | None:
        """Which limit of the budget has stopped it, if any did."""
        return self.spending.exhausted() if self.remains else None

    async def _feed(self, router: Router, group: asyncio.TaskGroup) -> None:
        while True:
            if self.stopped.is_set():
                raise RunStopped("the run is being stopped", "run again to continue: what was answered is recorded")
            while self.waiting and self._room(self.waiting[0].n) and not self.spending.exhausted():
                request = self.waiting.popleft()
                self.flying += request.n
                group.create_task(self._one(router, request))
            idle = not self.flying and not self.judging and not self.unjudged
            if idle and (not self.waiting or self.spending.exhausted()):
                return
            await self.woken.wait()
            self.woken.clear()

    def _room(self, n: int) -> bool:
        """Whether n more may fly; a judge or a lake that falls behind holds the rest back."""
        behind = len(self.unjudged) >= 8 * self.in_flight or self.recorder.full
        return not behind and (not self.flying or self.flying + n <= self.in_flight)

    async def _one(self, router: Router, request: CompletionRequest) -> None:
        turn = self.turns[str(request.prompt)]
        try:
            self._take(turn, request, await complete(router, request, self.decoding))
        except ContextOverflow as e:
            turn.refused = str(e.args[0])
            turn.open -= request.n
        self.flying -= request.n
        self.woken.set()

    def _take(self, turn: Turn, request: CompletionRequest, answers: list[Completion]) -> None:
        start, seen = int(request.tag), self.progress
        since = (time.monotonic() - seen.started) * 1000
        for offset, answer in enumerate(answers):
            self.recorder.add(self.pool.row(turn.prompt, start + offset, answer, since))
            cut = answer.finish_reason == "length"
            seen.truncated += cut
            seen.truncated_tokens += answer.tokens * cut
            seen.tokens += answer.tokens
            self.unjudged.append(
                (turn, Answered(turn.prompt.problem_id, answer.text, answer.finish_reason, answer.tokens))
            )
        seen.done += len(answers)
        seen.prompt_tokens += sum(a.prompt_tokens for a in answers[:1])
        self.spending.add(sum(a.tokens for a in answers), 0.0)
        if self.judge is None:
            self._count([_UNJUDGED] * len(self.unjudged), self._unjudged())

    def _unjudged(self) -> list[tuple[Turn, Answered]]:
        found, self.unjudged = self.unjudged, []
        return found

    async def _judge_all(self) -> None:
        """Judge what has arrived, in another thread, while more arrives."""
        while self.judge:
            if batch := self._unjudged():
                self.judging = len(batch)
                outcomes = await asyncio.to_thread(self.judge, [shown for _, shown in batch])
                self.judging = 0
                self.progress.accepted += sum(o.accepted for o in outcomes)
                self.progress.undecided += sum(o.undecided for o in outcomes)
                self._count(outcomes, batch)
                self.woken.set()
            else:
                await asyncio.sleep(0.02)

    def _count(self, outcomes: Sequence[Outcome], batch: Sequence[tuple[Turn, Answered]]) -> None:
        for (turn, _), outcome in zip(batch, outcomes, strict=True):
            turn.count(outcome)
            if not turn.open and not turn.refused:
                self._ask(turn)

    def _ask(self, turn: Turn) -> None:
        """Put the turn's missing samples in line: those of later rounds first, while the prompt is still cached."""
        missing = turn.advance(self.sampling)
        self.progress.expected += len(missing)
        self.progress.prompts_done += not missing
        requests = list(self._requests(turn.prompt, missing))
        if turn.asked > self.sampling.samples:
            self.waiting.extendleft(reversed(requests))
        else:
            self.waiting.extend(requests)

    def _requests(self, prompt: Prompt, missing: list[int]) -> Iterator[CompletionRequest]:
        """Runs of consecutive samples become one request, whose seed is that of the first."""
        start = 0
        for end in range(1, len(missing) + 1):
            whole = end - start == CHILDREN or end == len(missing) or missing[end] != missing[end - 1] + 1
            if whole:
                seed = self.pool.identity.seed(prompt.text, missing[start])
                yield CompletionRequest(prompt.text, end - start, seed, str(missing[start]))
                start = end

    async def _tick(self, servers: int) -> None:
        """Twice a second: flush what is due, count the servers' time, tell how far it is."""
        last = time.monotonic()
        while True:
            await asyncio.sleep(TICK_S)
            now = time.monotonic()
            self.spending.add(0, (now - last) * servers)
            last = now
            await self.recorder.flush_if_due()
            self.watch(self.progress)
            self.woken.set()
