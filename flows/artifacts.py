"""Progress of a run in Prefect's interface while it goes on: what samples, trainings step by step, nodes of a stage."""

import re
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from types import TracebackType
from typing import cast
from uuid import UUID

import httpx
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.exceptions import ObjectNotFound, PrefectException
from prefect.logging import get_logger

from r1data.progress import Progress
from r1data.spending import Spending
from r1data.watching import percent, progress_line, training_step

EVERY_S = 5.0
STOP_S = 15.0
BRIEF_S = 20.0
logger = get_logger("artifacts")


def artifact_key(*names: str) -> str:
    """Names as Prefect wants a key: lowercase letters, digits and dashes."""
    return re.sub(r"[^a-z0-9-]+", "-", "-".join(names).lower())


@dataclass(frozen=True)
class Noted:
    """How far something is, in percent and words; not shown before `worth_from` (monotonic), so maybe never."""

    percent: float
    text: str
    ended: float | None = None
    worth_from: float = 0.0


class ProgressArtifacts:
    """An artifact a name, from a thread of its own: `watch` and `note` return at once. A context manager.

    Enter it inside a flow run, to which the artifacts then belong. Each is written at most once in `every` seconds, and
    only when it says something new. An API that cannot be reached is logged, no more.
    """

    def __init__(self, recipe: str, spending: Spending, every: float = EVERY_S) -> None:
        self._recipe = recipe
        self._spending = spending
        self._every = every
        self._latest: dict[str, Progress | Noted] = {}
        self._finished: dict[str, Progress | Noted] = {}
        self._said: dict[str, tuple[float, str]] = {}
        self._ids: dict[str, UUID] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._reached = True

    def __enter__(self) -> "ProgressArtifacts":
        """Start the thread, in a copy of this context: it says which flow run and which API."""
        context = copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._poll,), name="artifacts", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Publish once more and end the thread."""
        self._stopped.set()
        self._thread.join(STOP_S)
        if self._thread.is_alive():
            logger.warning("progress artifacts: no answer from the API in %.0f s, the last ones are old", STOP_S)

    def watch(self, progress: Progress) -> None:
        """Take note of a node's progress."""
        with self._lock:
            self._latest[progress.node] = progress

    def note(self, name: str, noted: Noted) -> None:
        """Take note of how far anything else is."""
        with self._lock:
            self._latest[name] = noted

    def hearing(self, report: Callable[[str], None]) -> Callable[[str], None]:
        """The same report, with the steps of trainings noted as they pass."""

        def heard(line: str) -> None:
            if step := training_step(line):
                text = f"training of {step.node}: step {step.step:,} of {step.steps:,}; {step.told}"
                ended = 1.0 if step.step >= step.steps else None
                self.note(step.node, Noted(100 * step.step / max(1, step.steps), text, ended))
            report(line)

        return heard

    def _poll(self) -> None:
        while not self._stopped.wait(self._every):
            self._publish()
        self._publish()

    def _publish(self) -> None:
        with self._lock:
            latest = dict(self._latest)
        for name, progress in latest.items():
            ended = progress.ended is not None  # before it is shown: it may end meanwhile
            brief = isinstance(progress, Noted) and time.monotonic() < progress.worth_from
            if self._finished.get(name) is not progress and (brief or self._shown(name, progress)) and ended:
                self._finished[name] = progress

    def _shown(self, name: str, progress: Progress | Noted) -> bool:
        try:
            self._show(name, *self._told(progress))
        except ObjectNotFound:
            self._ids.pop(name, None)  # somebody deleted it: the next time makes a new one
            self._said.pop(name, None)
            return False
        except (httpx.HTTPError, PrefectException) as e:
            if self._reached:
                logger.warning("progress artifacts: %s: %s; the run goes on without them", type(e).__name__, e)
            self._reached = False
            return False
        self._reached = True
        return True

    def _told(self, progress: Progress | Noted) -> tuple[float, str]:
        if isinstance(progress, Noted):
            return progress.percent, progress.text
        return percent(progress), progress_line(progress, self._spending.cost).strip()

    def _show(self, name: str, done: float, text: str) -> None:
        if self._said.get(name) == (done, text):
            return
        if name in self._ids:
            update_progress_artifact(self._ids[name], done, text)
        else:
            made = create_progress_artifact(done, artifact_key(self._recipe, name, "progress"), text)
            self._ids[name] = cast(UUID, made)
        self._said[name] = done, text


PROGRESS: ContextVar[ProgressArtifacts | None] = ContextVar("progress", default=None)


class StageProgress:
    """How many nodes of a stage are done, as a progress artifact of the run; for threads.

    It is shown once something was computed, or after a while: a run that finds everything there is not littered.
    """

    def __init__(self, stage: str, nodes: int) -> None:
        self._worth_from = time.monotonic() + BRIEF_S
        self._stage, self._nodes = stage, nodes
        self._done = self._new = 0
        self._lock = threading.Lock()
        self._note()

    def add(self, *, skipped: bool) -> None:
        """One more is done, made now or there already."""
        with self._lock:
            self._done += 1
            self._new += not skipped
            self._note()

    def _note(self) -> None:
        artifacts = PROGRESS.get()
        if artifacts is None:
            return
        there = self._done - self._new
        text = f"stage {self._stage}: {self._done} of {self._nodes} nodes done ({there} there already)"
        share = 100 * self._done / self._nodes if self._nodes else 100.0
        ended = 1.0 if self._done >= self._nodes else None
        artifacts.note(f"stage-{self._stage}", Noted(share, text, ended, 0.0 if self._new else self._worth_from))
