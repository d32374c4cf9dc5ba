"""Work pools, the limit of `gpu` tasks, and every deployment of prefect.yaml, on the server of PREFECT_API_URL."""

import asyncio
import subprocess
import sys
from pathlib import Path

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectNotFound
from prefect.workers.process import ProcessWorker

from flows.ops.up import POOLS
from r1data.errors import StageFailed

FILE = Path(__file__).resolve().parents[2] / "prefect.yaml"
TAG = "gpu"


def deploy(gpu_tasks: int, file: Path = FILE) -> str:
    """Make what is missing and deploy all; what Prefect said."""
    asyncio.run(_prepare(gpu_tasks))
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]
    run = subprocess.run(command, cwd=file.parent, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if run.returncode:
        raise StageFailed(f"prefect deploy failed:\n{(run.stdout + run.stderr)[-3000:]}", f"mend {file}")
    return run.stdout


async def _prepare(gpu_tasks: int) -> None:
    async with get_client() as client:
        for name in POOLS:
            await _pool(client, name)
        try:
            limit = (await client.read_concurrency_limit_by_tag(TAG)).concurrency_limit
        except ObjectNotFound:
            limit = None
        if limit != gpu_tasks:
            await client.create_concurrency_limit(TAG, gpu_tasks)


async def _pool(client: PrefectClient, name: str) -> None:
    try:
        await client.read_work_pool(name)
    except ObjectNotFound:
        template = ProcessWorker.get_default_base_job_template()
        await client.create_work_pool(WorkPoolCreate(name=name, type="process", base_job_template=template))
