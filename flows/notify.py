"""Tell a person: always by an artifact, and by the notification block that R1_NOTIFY names (`slack-webhook/night`)."""

from typing import Any

from prefect.artifacts import create_markdown_artifact
from prefect.blocks.abstract import NotificationBlock
from prefect.blocks.core import Block
from prefect.client.schemas.objects import FlowRun, State
from prefect.flows import Flow
from prefect.logging import get_logger

from flows.artifacts import artifact_key
from flows.environment import Operations
from r1data.errors import EndpointError, boundary

logger = get_logger("notify")


def tell(flow: "Flow[..., Any]", flow_run: FlowRun, state: "State[Any]") -> None:
    """What a flow does when it fails or crashes."""
    notify(f"{flow_run.name}: {state.name}", f"{state.message}\n\nflow run {flow_run.id} of {flow.name}", flow.name)


def notify(subject: str, text: str, key: str) -> None:
    """An artifact `KEY-alert`, an error in the log, and a message if somebody is to get one.

    A block that is missing or fails is logged: the run has an end of its own.
    """
    logger.error("%s: %s", subject, text)
    create_markdown_artifact(f"**{subject}**\n\n{text}", key=artifact_key(key, "alert"))
    name = Operations.from_environment().notify
    if name is None:
        return
    try:
        with boundary(EndpointError, f"R1_NOTIFY: block {name}"):
            block = Block.load(name)
            if not isinstance(block, NotificationBlock):
                raise TypeError("not a notification block")
            _ = block.notify(text, subject=subject)  # its type says coroutine; here it has sent when it returns
    except EndpointError as e:
        logger.error("nobody was told: %s", e)
