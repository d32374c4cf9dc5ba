"""The recipe as one Prefect flow: a subflow a stage, a task a node, artifacts for counts, progress and evaluation.

The order and the work are `r1data.stages`: a stage starts as soon as the stages it needs are done, a node likewise.
Only names travel between tasks, and the lake knows what is done.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import FlowRunContext
from prefect.exceptions import FlowPauseTimeout
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput
from prefect.logging import get_run_logger
from prefect.tasks import Task
from pydantic import ValidationError

from flows.artifacts import PROGRESS, ProgressArtifacts, StageProgress, artifact_key
from flows.patience import patient
from flows.results import node_told, run_results, stage_results
from r1data.cli.live import LiveProgress
from r1data.cluster_params import ClusterParams
from r1data.errors import StoreUnavailable, Terminal, Transient
from r1data.mapping import Spread, map_here
from r1data.recipe import load_recipe
from r1data.review import record_timeout, require_review
from r1data.reviewing import decide, edit_lines, review_markdown
from r1data.run import Session, on_cluster
from r1data.settings import Settings
from r1data.spending import Spending
from r1data.stages.sampling import GenerateParams
from r1data.telemetry import switch_off
from r1data.watching import watched_by

LIVE: ContextVar[LiveProgress | None] = ContextVar("live", default=None)
SESSION: ContextVar[Session] = ContextVar("session")


def _transient(task: "Task[..., Any]", run: TaskRun, state: "State[Any]") -> bool:
    """Only what may pass by itself is tried again."""
    return isinstance(state.result(raise_on_failure=False), Transient)


@flow(name="r1", flow_run_name="r1-{recipe}", validate_parameters=False)
def r1(recipe: str = "demo", lake: str | None = None) -> str:
    """The whole recipe, stage by stage; returns the URI of the report. What is done already is skipped.

    Args:
        recipe: a shipped recipe (demo, smoke, deepseek-r1, qwen-7b) or a .toml file on the worker's machine
        lake: root URL of the lake; where it is empty R1_LAKE of the worker, else ./lake
    """
    with open_session(recipe, lake) as session:
        return run_whole(session)


@contextmanager
def open_session(recipe: str, lake: str | None) -> Iterator[Session]:
    """The session of this flow run: its id as a label, progress as artifacts of it."""
    switch_off()
    settings = Settings.from_environment(lake=lake)
    context = FlowRunContext.get()
    run_id = str(context.flow_run.id) if context and context.flow_run else ""
    found = on_cluster(load_recipe(recipe), settings)
    live = LIVE.get() or LiveProgress(Spending(found.cluster.budget))
    with (
        ProgressArtifacts(found.name, live.spending) as artifacts,
        _spread(found.cluster) as spread,
        Session(
            recipe,
            settings,
            artifacts.hearing(live.report),
            labels={"prefect_flow_run": run_id},
            watch=watched_by(live.watch, artifacts.watch),
            spending=live.spending,
            spread=spread,
        ) as session,
    ):
        token = PROGRESS.set(artifacts)
        try:
            yield session
        finally:
            PROGRESS.reset(token)


@contextmanager
def _spread(cluster: ClusterParams) -> Iterator[Spread]:
    """Where shards of map steps are computed: in this process, or on the recipe's Ray cluster."""
    if cluster.kind == "local":
        yield map_here
        return
    from flows.spread import on_ray  # Ray is an extra of its own

    with on_ray(cluster.ray) as spread:
        yield spread


def run_whole(session: Session) -> str:
    """All stages, asking a person where the recipe says so, then the artifacts; the URI of the report."""
    done: list[str] = []
    if session.recipe.cold_start.review == "wait":
        done = list(session.run_stages(lambda stage: run_stage(session, stage), ["cold_start"]))
        _ask_for_review(session)
    session.run_stages(lambda stage: run_stage(session, stage), done=done)
    return report(session)


def report(session: Session) -> str:
    """The artifacts of the whole run and its pages; the URI of the run's page."""
    return patient(partial(run_results, session), session.report, also=(StoreUnavailable,))


class ReviewForm(RunInput):
    """What a person fills in to go on; rejecting the set ends the run.

    `reject_rows`: ids of rows to leave out, or their beginnings. `edits`: a JSONL file in the lake, by its name there,
    with an example_id and a completion a line.
    """

    reviewer: str
    accept: bool
    note: str = ""
    reject_rows: list[str] = []
    edits: str = ""


def _ask_for_review(session: Session) -> None:
    """Pause this flow run until a person has decided about the cold-start rows, unless these were decided on before.

    Only a top-level flow can pause. Model servers are ended meanwhile: a person takes longer than they take to start.
    """
    if session.waits_for_review():
        session.fleet.stop()
        text = review_markdown(session.lake, session.cold_start)
        create_markdown_artifact(text, key=artifact_key(session.recipe.name, "review"))
        _until_decided(session, session.recipe.cold_start.review_hours * 3600)
    require_review(session.lake, session.cold_start)


def _until_decided(session: Session, seconds: float) -> None:
    """Ask until a form can be used, and write it down; or that nobody answered in time."""
    end = time.monotonic() + seconds
    while True:
        try:
            form = pause_flow_run(wait_for_input=ReviewForm, timeout=max(1, int(end - time.monotonic())))
            _write_down(session, form)
        except FlowPauseTimeout:
            record_timeout(session.lake, session.cold_start, seconds)
        except (Terminal, ValidationError) as e:
            get_run_logger().warning("the form cannot be used, asked again: %s", e)
            create_markdown_artifact(f"**Asked again:** {e}", key=artifact_key(session.recipe.name, "review-fault"))
            continue
        return


def _write_down(session: Session, form: ReviewForm) -> None:
    found = decide(
        session.lake,
        session.cold_start,
        form.reviewer,
        accepted=form.accept,
        note=form.note,
        rejected=form.reject_rows,
        edits_file=form.edits,
    )
    for line in edit_lines(found):
        get_run_logger().info(line)


def run_stage(session: Session, stage: str) -> None:
    """Run one stage as a subflow and leave what came of it as artifacts; what uses GPUs has the tag `gpu`."""

    SESSION.set(session)
    progress = StageProgress(stage, sum(n.stage == stage for n in session.nodes.values()))

    def work(name: str) -> dict[str, Any]:
        task = NODE.with_options(**_options(session, name))
        told: dict[str, Any] = patient(lambda: task(name), session.report)
        progress.add(skipped=told["was there"] == "yes")
        return told

    begun: list[str] = []

    def subflow() -> None:
        begun.append(stage)
        rows = list(session.run_nodes(stage, work).values())
        patient(partial(stage_results, session, stage, rows), session.report, also=(StoreUnavailable,))

    # Prefect finds the subflows of an earlier attempt by function and order; stages that run side by side have no order
    subflow.__qualname__ = f"{stage}_{_attempt()}"
    staged = flow(name=stage, flow_run_name=stage)(subflow)
    patient(staged, session.report, given_up=lambda: bool(begun))  # once begun, what is inside waits by itself


def _node(name: str) -> dict[str, Any]:
    """Run one node of the session in this context; what the stage's table says of it."""
    session = SESSION.get()
    started = time.monotonic()
    manifest, skipped = session.run_node(name)
    return node_told(session.lake, name, manifest, skipped, round(time.monotonic() - started, 1))


# tasks on a cluster are sent this one: `_node` is found there by its name, which a function inside another has not
NODE = task(name="node", cache_policy=NO_CACHE, retries=2, retry_delay_seconds=[5, 30], retry_condition_fn=_transient)(
    _node
)


def _attempt() -> int:
    """How often this flow run was begun."""
    context = FlowRunContext.get()
    return context.flow_run.run_count if context and context.flow_run else 1


def _options(session: Session, name: str) -> dict[str, Any]:
    """How a node's task is shown, and its tag: the server limits how many tasks `gpu` run at a time."""
    node = session.nodes[name]
    uses_gpu = (node.step.kind == "train" and not node.kept) or isinstance(node.params, GenerateParams)
    return {"task_run_name": name, "tags": {"gpu"} if uses_gpu else set()}
