"""Map steps on a Ray cluster: the shards of a node as Prefect tasks on a Ray task runner, in a subflow of its task.

Ray runs a task again elsewhere when its machine dies; shards that it had finished are found by their keys. What Ray is
sent is pickled with Prefect's context, flow and task of the node included: so these are functions of modules, and the
session and the work travel to them in context variables.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial

import ray
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.settings import PREFECT_API_URL
from prefect_ray import RayTaskRunner
from prefect_ray.context import remote_options

from r1data.errors import ClusterUnavailable, RecipeError, boundary
from r1data.launch import ENVIRONMENT, absolute
from r1data.manifest import Shard
from r1data.mapping import MapWork, Spread, map_here
from r1data.ray_address import REMEDY, require_answer
from r1data.ray_params import RayParams
from r1data.storage import Lake
from r1data.telemetry import SWITCHES

RETRIES = 5  # of a task whose machine or process died, by Ray; a shard that kills its process ends after so many
PASSED_ON = ("R1_SANDBOX",)
Given = tuple[str, RayParams, list[MapWork]]
GIVEN: ContextVar[Given] = ContextVar("given")


@contextmanager
def on_ray(params: RayParams) -> Iterator[Spread]:
    """Connect to the cluster, and leave it at the end; what maps there, for `Session`."""
    if not PREFECT_API_URL.value():
        told = "Prefect tasks on a Ray cluster report to a server that its nodes reach"
        raise RecipeError(told, "set PREFECT_API_URL (`make up` starts a server), or run without Prefect: `r1 run`")
    require_answer(params)
    ours = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    environment = {"env_vars": {**SWITCHES, **ENVIRONMENT, "POLARS_MAX_THREADS": _threads(params), **ours}}
    place = {"working_dir": params.working_dir} if params.working_dir else {}
    with boundary(ClusterUnavailable, f"[cluster.ray] address = {params.address!r}", REMEDY):
        ray.init(
            params.address, runtime_env={**environment, **place}, log_to_driver=False, logging_level=logging.WARNING
        )
    try:
        yield partial(spread, params)
    finally:
        ray.shutdown()


def spread(params: RayParams, lake: Lake, work: MapWork) -> tuple[Shard, ...]:
    """The shards of a node, computed on the cluster; a single one here."""
    if len(work.shards) == 1:
        return map_here(lake, work)
    token = GIVEN.set((absolute(lake.url), params, work.divided(params.map_tasks)))
    try:
        return MAPPED.with_options(flow_run_name=f"map {work.node.name}")()
    finally:
        GIVEN.reset(token)


def _mapped() -> tuple[Shard, ...]:
    lake, params, pieces = GIVEN.get()
    with remote_options(num_cpus=params.cpus_per_task, max_retries=RETRIES):
        futures = [PIECE.with_options(task_run_name=f"{i}").submit(lake, work) for i, work in enumerate(pieces)]
    try:
        return tuple(shard for future in futures for shard in future.result())
    except ray.exceptions.RayError as e:
        told = f"{pieces[0].node.name}: a task was lost {RETRIES + 1} times: {str(e).strip().splitlines()[0]}"
        raise ClusterUnavailable(told, "look at the nodes' memory and logs; finished shards are kept") from e


def _piece(lake: str, work: MapWork) -> tuple[Shard, ...]:
    return map_here(Lake.open(lake), work)


def _threads(params: RayParams) -> str:
    return str(max(1, int(params.cpus_per_task)))


MAPPED = flow(name="map", validate_parameters=False, task_runner=RayTaskRunner())(_mapped)
PIECE = task(name="piece", cache_policy=NO_CACHE, persist_result=False)(_piece)
