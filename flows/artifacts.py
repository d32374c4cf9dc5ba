"""Artifacts of a run in Prefect's interface: what a node that samples has done, while it does it, and funnels."""

import re
import threading
from contextvars import copy_context
from types import TracebackType
from typing import cast
from uuid import UUID

import httpx
from prefect.artifacts import create_progress_artifact, create_table_artifact, update_progress_artifact
from prefect.exceptions import ObjectNotFound, PrefectException
from prefect.logging import get_logger

from r1data.progress import Progress
from r1data.report.funnel import COLUMNS, dropped, funnel
from r1data.spending import Spending
from r1data.storage import Lake
from r1data.watching import percent, progress_line

EVERY_S = 5.0
SHOWN = 300
STOP_S = 15.0
logger = get_logger("artifacts")


def artifact_key(*names: str) -> str:
    """Names as Prefect wants a key: lowercase letters, digits and dashes."""
    return re.sub(r"[^a-z0-9-]+", "-", "-".join(names).lower())


def funnel_artifact(lake: Lake, ref: str) -> None:
    """Tables of what the gates of a ref to DROPS let through, and of rows that left."""
    head = ("rows that", *COLUMNS[1:])
    rows = [dict(zip(head, cells, strict=True)) for cells in funnel(lake, ref).cells]
    create_table_artifact(rows, key=artifact_key(ref, "funnel"), description=f"funnel of {ref}")
    shown = [
        {"gate": row.gate, "reason": row.reason, "value": row.value, "text": row.evidence[:SHOWN]}
        for gone in dropped(lake, ref).values()
        for row in gone
    ]
    told = f"rows that left, from {ref}: at most ten of each reason"
    create_table_artifact(shown, key=artifact_key(ref, "funnel-examples"), description=told)


class ProgressArtifacts:
    """An artifact a node, from a thread of its own: `watch` takes note and returns at once. A context manager.

    Enter it inside a flow run, to which the artifacts then belong. An API that cannot be reached is logged, no more.
    """

    def __init__(self, recipe: str, spending: Spending, every: float = EVERY_S) -> None:
        self._recipe = recipe
        self._spending = spending
        self._every = every
        self._latest: dict[str, Progress] = {}
        self._finished: dict[str, Progress] = {}
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

    def _poll(self) -> None:
        while not self._stopped.wait(self._every):
            self._publish()
        self._publish()

    def _publish(self) -> None:
        with self._lock:
            latest = dict(self._latest)
        for node, progress in latest.items():
            ended = progress.ended is not None  # before it is shown: it may end meanwhile
            if self._finished.get(node) is not progress and self._shown(node, progress) and ended:
                self._finished[node] = progress

    def _shown(self, node: str, progress: Progress) -> bool:
        try:
            self._show(node, progress)
        except ObjectNotFound:
            self._ids.pop(node, None)  # somebody deleted it: the next time makes a new one
            return False
        except (httpx.HTTPError, PrefectException) as e:
            if self._reached:
                logger.warning("progress artifacts: %s: %s; the run goes on without them", type(e).__name__, e)
            self._reached = False
            return False
        self._reached = True
        return True

    def _show(self, node: str, progress: Progress) -> None:
        text = progress_line(progress, self._spending.cost).strip()
        if node in self._ids:
            update_progress_artifact(self._ids[node], percent(progress), text)
            return
        made = create_progress_artifact(percent(progress), artifact_key(self._recipe, node, "progress"), text)
        self._ids[node] = cast(UUID, made)
