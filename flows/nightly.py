"""The nightly run: plan first, run what is new, publish what is not worse, tell a person where it is.

With nothing new it ends in seconds and says so. A run that finds another of the same recipe running ends as Skipped
and names it; so does one that the schedule wanted half a day ago (no catch-up).
"""

import datetime as dt
from typing import Annotated, Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.context import FlowRunContext
from prefect.states import Completed, Failed
from pydantic import Field

from flows.artifacts import artifact_key
from flows.notify import tell
from flows.r1 import open_session, run_whole
from r1data.plan import PlanLine
from r1data.plan import plan as plan_of
from r1data.recipe import load_recipe
from r1data.report.evaluation import markdown
from r1data.report.regression import COLUMNS, Comparison, published, refusal
from r1data.run import on_cluster
from r1data.settings import Settings
from r1data.storage import Lake
from r1data.telemetry import switch_off

NAME = "nightly"
ACTIVE = [StateType.RUNNING, StateType.PAUSED]
Hours = Annotated[float, Field(gt=0)]


@flow(name=NAME, flow_run_name="nightly-{recipe}", on_failure=[tell], on_crashed=[tell])
def nightly(recipe: str = "demo", lake: str | None = None, late_hours: Hours = 12.0) -> "State[Any]":
    """One night of a recipe; its end state says what came of it.

    Args:
        recipe: a shipped recipe (demo, smoke, deepseek-r1, qwen-7b) or a .toml file on the worker's machine
        lake: root URL of the lake; where it is empty R1_LAKE of the worker, else ./lake
        late_hours: a scheduled run that starts later than this is left out: nights are not caught up
    """
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    if run and (why := _late(run, late_hours) or _overlaps(run)):
        return Completed(name="Skipped", message=why)
    there, name, lines = _planned(recipe, lake)
    to_do = sum(line.status != "done" for line in lines)
    if to_do:
        with open_session(recipe, lake) as session:
            run_whole(session)
    told = f"{to_do} of {len(lines)} nodes were to run" if to_do else f"nothing new: all {len(lines)} nodes are done"
    return _published(there, name, told)


@flow(name="plan", flow_run_name="plan-{recipe}")
def plan_only(recipe: str = "demo", lake: str | None = None) -> "State[Any]":
    """What a run would compute and why, as a table; nothing is run.

    Args:
        recipe: a shipped recipe (demo, smoke, deepseek-r1, qwen-7b) or a .toml file on the worker's machine
        lake: root URL of the lake; where it is empty R1_LAKE of the worker, else ./lake
    """
    _, name, lines = _planned(recipe, lake)
    head = ("stage", "node", "status", "reason")
    table = markdown(head, [(p.stage, p.node, p.status, p.reason) for p in lines])
    create_markdown_artifact(table, key=artifact_key(name, "plan"))
    return Completed(message=f"{sum(p.status != 'done' for p in lines)} of {len(lines)} nodes to run")


def _planned(recipe: str, lake: str | None) -> tuple[Lake, str, list[PlanLine]]:
    switch_off()
    settings = Settings.from_environment(lake=lake)
    found = on_cluster(load_recipe(recipe), settings)
    there = Lake.open(settings.lake)
    return there, found.name, plan_of(there, found)


def _published(lake: Lake, recipe: str, told: str) -> "State[Any]":
    """Move the refs for others unless something got worse; the end state, and an artifact."""
    found: list[Comparison] = published(lake, recipe)
    worse = refusal(found)
    text = f"{told}\n\n{markdown(COLUMNS, [c.cells for c in found])}"
    if worse:
        remedy = "current stays; look at the evaluation, mend and run again, or publish by hand"
        create_markdown_artifact(f"**Not published:** {worse}\n\n{text}", key=artifact_key(recipe, NAME))
        return Failed(message=f"{told}; not published: {worse}; {remedy}")
    create_markdown_artifact(text, key=artifact_key(recipe, NAME))
    return Completed(message=told)


def _late(run: FlowRun, hours: float) -> str:
    """Why a scheduled run is left out; empty if it is not too late."""
    if not run.auto_scheduled or run.expected_start_time is None or run.run_count > 1:
        return ""
    late = (dt.datetime.now(dt.UTC) - run.expected_start_time).total_seconds() / 3600
    return (
        f"{late:.1f} hours late (late_hours is {hours:g}): left out, the next night is on time" if late > hours else ""
    )


def _overlaps(run: FlowRun) -> str:
    """Why a run is left out: one of the same recipe and lake, begun before it, goes on."""
    states = FlowRunFilterState(type=FlowRunFilterStateType(any_=ACTIVE))
    with get_client(sync_client=True) as client:
        others = client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[NAME])), flow_run_filter=FlowRunFilter(state=states)
        )
    for other in others:
        if other.id != run.id and _work(other) == _work(run) and _begun(other) < _begun(run):
            return f"{other.name} ({other.id}) goes on since {other.start_time}: this one was left out"
    return ""


def _work(run: FlowRun) -> tuple[Any, Any]:
    return run.parameters.get("recipe", "demo"), run.parameters.get("lake")


def _begun(run: FlowRun) -> tuple[str, str]:
    return (run.start_time or dt.datetime.now(dt.UTC)).astimezone(dt.UTC).isoformat(), str(run.id)
