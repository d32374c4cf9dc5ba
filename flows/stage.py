"""One stage of a recipe as a flow of its own, with all that it needs: `stage-NAME` and `evaluate` in prefect.yaml."""

from prefect import flow

from flows.r1 import open_session, report, run_stage
from r1data.stages.order import StageName


@flow(name="stage", flow_run_name="{stage}-{recipe}")
def stage(stage: StageName = "foundations", recipe: str = "demo", lake: str | None = None) -> str:
    """A recipe up to one stage; returns the URI of the report after `evaluate`, else the lake's.

    A recipe with review = "wait" goes on after `cold_start` only when its set was accepted: by `r1 review`, or in the
    form of the flow `r1`.

    Args:
        stage: the stage to run; those before it that are not done run first
        recipe: a shipped recipe (demo, smoke, deepseek-r1, qwen-7b) or a .toml file on the worker's machine
        lake: root URL of the lake; where it is empty R1_LAKE of the worker, else ./lake
    """
    with open_session(recipe, lake) as session:
        session.run_stages(lambda name: run_stage(session, name), [stage])
        return report(session) if stage == "evaluate" else session.lake.uri()
