"""One training as a Ray Job, from hand-in to exit state.

    python -m r1data.ray_job PARAMS RANKS STOP_S NAME MODULE TOLD...

`r1data.launch` runs it as it runs torchrun: it prints the job's lines and ends as the job does. SIGTERM, which also
comes when its parent dies, stops the job. A job of the same name that somebody left behind is stopped first.

Exit status 0: the checkpoint is committed; 1: the job failed or the cluster does not answer; 143: stopped.
"""

import asyncio
import math
import os
import shlex
import signal
import sys
import time
import uuid
from types import FrameType
from typing import NoReturn

from ray.job_submission import JobStatus, JobSubmissionClient

from r1data.errors import ClusterUnavailable, R1Error
from r1data.launch import ENVIRONMENT
from r1data.ray_address import REMEDY
from r1data.ray_params import RayParams
from r1data.telemetry import SWITCHES, switch_off

MORE_S = 5  # than the ranks' own `stop_s`: after these Ray kills the job
LOOK_S = 0.5
LAST = 2_000  # characters of the log that say how a stopped job ended
NAME = "r1"
PASSED_ON = ("R1_SANDBOX", "R1_ENGINE")


class Stopped(BaseException):
    """SIGTERM came."""


def main(arguments: list[str]) -> int:
    """Hand a training in and follow it to its end."""
    params, ranks, stop_s, name, *command = arguments
    switch_off()
    signal.signal(signal.SIGTERM, _stop)
    try:
        return follow(connected(RayParams.model_validate_json(params)), params, ranks, stop_s, name, command)
    except R1Error as e:
        print(f"error: {e}", file=sys.stderr, flush=True)
        return 1


def connected(params: RayParams) -> JobSubmissionClient:
    """A client of the cluster's job server; `ClusterUnavailable` says what to do where none answers."""
    address = params.jobs or params.address
    try:
        return JobSubmissionClient(address)
    except (ConnectionError, RuntimeError, ValueError) as e:
        raise ClusterUnavailable(f"Ray jobs at {address!r}: {str(e).strip().splitlines()[0]}", REMEDY) from e


def follow(client: JobSubmissionClient, params: str, ranks: str, stop_s: str, name: str, command: list[str]) -> int:
    """Submit, print the job's lines as they come, answer with an exit status; stop the job when told to stop."""
    end_leftovers(client, name)
    told = RayParams.model_validate_json(params)
    job = client.submit_job(
        entrypoint=shlex.join([told.python, "-m", "training.ray_main", params, ranks, stop_s, *command]),
        submission_id=f"r1-{uuid.uuid4().hex[:12]}",
        metadata={NAME: name},
        runtime_env={
            "env_vars": _variables(float(stop_s)),
            **({"working_dir": told.working_dir} if told.working_dir else {}),
        },
    )
    try:
        asyncio.run(_print_lines(client, job))
        status = _ended(client, job)
    except Stopped:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        client.stop_job(job)
        status = _ended(client, job)
        print(client.get_job_logs(job)[-LAST:], f"job {job}: {status.value}", sep="\n", flush=True)
        return 143
    if status is JobStatus.SUCCEEDED:
        return 0
    print(f"job {job}: {client.get_job_info(job).message or status.value}", flush=True)
    return 1


def end_leftovers(client: JobSubmissionClient, name: str) -> None:
    """Stop what still works on the same, handed in by a process that was lost with its machine."""
    for found in client.list_jobs():
        if (found.metadata or {}).get(NAME) == name and not found.status.is_terminal() and found.submission_id:
            print(f"job {found.submission_id} works on the same: it is stopped first", flush=True)
            client.stop_job(found.submission_id)
            _ended(client, found.submission_id)


async def _print_lines(client: JobSubmissionClient, job: str) -> None:
    async for lines in client.tail_job_logs(job):
        print(lines, end="", flush=True)


def _ended(client: JobSubmissionClient, job: str) -> JobStatus:
    """The job's last state, waited for: its log ends a moment before."""
    while not (status := client.get_job_status(job)).is_terminal():
        time.sleep(LOOK_S)
    return status


def _variables(stop_s: float) -> dict[str, str]:
    """What processes of the job see of the environment; credentials are the nodes' own, since Ray shows these."""
    ours = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    quiet = {
        "RAY_JOB_STOP_WAIT_TIME_S": str(math.ceil(stop_s) + MORE_S),
        "RAY_DEDUP_LOGS": "0",
        "RAY_COLOR_PREFIX": "0",
    }
    return {**SWITCHES, **ENVIRONMENT, **quiet, **ours}


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise Stopped


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
