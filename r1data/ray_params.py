"""A Ray cluster that others run: where it answers, and what a training's rank and a map step's task take of it."""

from pydantic import Field

from r1data.params import Params


class RayParams(Params):
    """Used where `[cluster] kind = "ray"`; how many ranks a training has is `[cluster] ranks`."""

    address: str = Field(
        default="auto", description="host:port of the head, ray://host:port from outside, or auto: this node's cluster"
    )
    jobs: str = Field(default="", description="where jobs are handed in, http://host:8265; empty: asked of the address")
    working_dir: str = Field(
        default="", description="folder sent to all nodes, as a checkout; empty: they have the code"
    )
    python: str = Field(default="python", description="interpreter of the nodes that has the extras train and ray")
    map_tasks: int = Field(default=64, ge=1, le=90, description="Prefect tasks at most that share a node's shards")
    cpus_per_task: float = Field(default=1, gt=0, description="of a map step's task")
    cpus_per_rank: float = Field(default=1, gt=0)
    gpus_per_rank: float = Field(default=0, ge=0, description="1 where ranks train on GPUs")
