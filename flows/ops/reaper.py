"""What becomes of runs whose process or machine is gone: `python -m flows.ops reap`, one for a server.

Prefect's documented zombie automation takes suspended runs for dead. This looks at RUNNING and PENDING ones alone.
Without a heartbeat for three of its periods a run is Crashed; so is one that is PENDING for ten minutes: its worker
was gone before its process lived. Crashed runs of deployments tagged `rerun` are scheduled again, twice at most and
within an hour; what they finished is in the lake and skipped. Both are said: in the run's state, in the log, to a
person as `flows.notify` does, and in the lake, where what it had begun gets its ABORT.
"""

import asyncio
import datetime as dt
from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import PrefectException
from prefect.states import Crashed, Scheduled

from flows.environment import Operations
from flows.notify import notify
from r1data.ends import write_ends
from r1data.errors import R1Error
from r1data.settings import Settings
from r1data.storage import Lake

EVERY_S, SILENT_S, PENDING_S = Operations.reap_every_s, Operations.reap_silent_s, Operations.reap_pending_s
WITHIN = dt.timedelta(hours=1)
ATTEMPTS = 3
TAG = "rerun"
PAGE = 200

Tell = Callable[[str, str, str], None]


async def reap(
    client: PrefectClient,
    silent_s: float = SILENT_S,
    say: Callable[[str], None] = print,
    tell: Tell = notify,
    pending_s: float = PENDING_S,
) -> None:
    """Look once; `tell` gets a subject, a text and what to file it under, once for every run that changed."""
    news: dict[UUID, tuple[FlowRun, list[str]]] = {}

    async def change(run: FlowRun, state: State[Any], told: str) -> None:
        await client.set_flow_run_state(run.id, state, force=True)
        say(f"{run.name} ({run.id}): {told}")
        news.setdefault(run.id, (run, []))[1].append(told)

    for kind, patience in ((StateType.RUNNING, silent_s), (StateType.PENDING, pending_s)):
        for run in await _in_state(client, kind):
            silent = (_now() - await _last_sign(client, run)).total_seconds()
            if silent > patience:
                why = "no heartbeat" if kind is StateType.RUNNING else "taken by a worker and not begun"
                told = f"{why} for {silent:.0f} s: its process or machine is gone"
                await change(run, Crashed(message=told), told)
    for run in await _in_state(client, StateType.CRASHED):
        if await _to_run_again(client, run):
            why = (run.state and run.state.message) or "its process ended"
            told = f"run again after a crash, attempt {run.run_count + 1} of {ATTEMPTS}"
            await change(run, Scheduled(name="AwaitingRetry", message=f"{told}; the crash: {why}"), told)
    for run, lines in news.values():
        await asyncio.to_thread(_write_ends, run, say)
        text = "\n".join(lines if lines[-1].startswith("run again") else [*lines, "not run again"])
        await asyncio.to_thread(tell, f"{run.name}: crashed", f"{text}\n\nflow run {run.id}", "reaper")


def _write_ends(run: FlowRun, say: Callable[[str], None]) -> None:
    """ABORT for what the run had begun in its lake; a lake that cannot be reached from here is said."""
    try:
        lake = Lake.open(Settings.from_environment(lake=run.parameters.get("lake")).lake)
        write_ends(lake, lambda note: note.run.parent == str(run.id), say)
    except R1Error as e:
        say(f"{run.name} ({run.id}): its lineage has no end yet: {e}")


async def watch(
    silent_s: float = SILENT_S,
    every_s: float = EVERY_S,
    say: Callable[[str], None] = print,
    pending_s: float = PENDING_S,
) -> None:
    """Look again and again; a server that does not answer is waited for."""
    async with get_client() as client:
        while True:
            try:
                await reap(client, silent_s, say, pending_s=pending_s)
            except (httpx.HTTPError, PrefectException) as e:
                say(f"{type(e).__name__}: {e}; looks again in {every_s:.0f} s")
            await asyncio.sleep(every_s)


async def _in_state(client: PrefectClient, kind: StateType) -> list[FlowRun]:
    chosen = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[kind])))
    found: list[FlowRun] = []
    while page := await client.read_flow_runs(flow_run_filter=chosen, limit=PAGE, offset=len(found)):
        found += page
    return found


async def _last_sign(client: PrefectClient, run: FlowRun) -> dt.datetime:
    """The latest of its last heartbeat and its present state's time."""
    asked = {
        "event": {"name": ["prefect.flow-run.heartbeat"]},
        "resource": {"id": [f"prefect.flow-run.{run.id}"]},
        "order": "DESC",
    }
    answer = await client.request("POST", "/events/filter", json={"filter": asked, "limit": 1})
    beats = [dt.datetime.fromisoformat(e["occurred"]) for e in answer.json()["events"]]
    since = [run.state.timestamp] if run.state else []
    return max([*beats, *since, *([run.start_time] if run.start_time else [])], default=_now())


async def _to_run_again(client: PrefectClient, run: FlowRun) -> bool:
    """Whether it crashed lately, has attempts left, and its deployment says that it may be run again."""
    recent = run.state is not None and _now() - run.state.timestamp < WITHIN
    if not (recent and run.deployment_id and run.run_count < ATTEMPTS):
        return False
    return TAG in await _tags(client, run.deployment_id)


async def _tags(client: PrefectClient, deployment: UUID) -> list[str]:
    return (await client.read_deployment(deployment)).tags


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
