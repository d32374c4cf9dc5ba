"""The recipe as one Prefect flow: a subflow a stage, a task a node, artifacts for counts and evaluation.

The order and the work are `r1data.stages`; only names travel between tasks, and the lake knows what is done.
"""

import time
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import FlowRunContext
from prefect.tasks import Task

from r1data.errors import Transient
from r1data.report.evaluation import evaluation_markdown
from r1data.report.page import write_report
from r1data.run import Session
from r1data.settings import Settings
from r1data.stages import STAGES


def _transient(task: "Task[..., Any]", run: TaskRun, state: "State[Any]") -> bool:
    """Only what may pass by itself is tried again."""
    return isinstance(state.result(raise_on_failure=False), Transient)


@flow(name="r1", flow_run_name="r1-{recipe}", validate_parameters=False)
def r1(recipe: str = "demo", lake: str | None = None) -> str:
    """The whole recipe, stage by stage; returns the URI of the report.

    Args:
        recipe: a shipped recipe's name (demo, smoke, deepseek-r1, qwen-7b) or a .toml file
        lake: root URL of the lake; R1_LAKE or ./lake by default
    """
    settings = Settings.from_environment(lake=lake)
    context = FlowRunContext.get()
    run_id = str(context.flow_run.id) if context and context.flow_run else ""
    with Session(recipe, settings, labels={"prefect_flow_run": run_id}) as session:
        for stage in STAGES:
            _subflow(session, stage)
        name = session.recipe.name
        create_markdown_artifact(evaluation_markdown(session.lake, name), key=f"{_key(name)}-evaluation")
        return write_report(session.lake, name)


def _subflow(session: Session, stage: str) -> None:
    """Run one stage as a subflow and leave its counts as an artifact."""

    @task(cache_policy=NO_CACHE, retries=2, retry_delay_seconds=[5, 30], retry_condition_fn=_transient)
    def node(name: str) -> dict[str, Any]:
        started = time.monotonic()
        found = next(n for n in session.nodes if n.name == name)
        manifest, skipped = session.runner.run(found)
        took = round(time.monotonic() - started, 1)
        return {"node": name, "rows": manifest.rows, "was there": skipped, "seconds": took, "path": manifest.path}

    @flow(name=stage, flow_run_name=stage)
    def run_stage() -> None:
        names = [n.name for n in session.nodes if n.stage == stage]
        rows = [node.with_options(task_run_name=name)(name) for name in names]
        create_table_artifact(rows, key=f"{_key(session.recipe.name)}-{_key(stage)}", description=f"stage {stage}")

    run_stage()


def _key(name: str) -> str:
    return name.lower().replace("_", "-")
