"""Where things run: the `[cluster]` section of a recipe, or a file of its own."""

from typing import Literal

from pydantic import Field, model_validator

from r1data.params import Params
from r1data.ray_params import RayParams
from r1data.spending import BudgetParams, GpuParams


class EngineParams(Params):
    """How vLLM servers are started, or where they are when others start them."""

    servers: int = Field(default=1, ge=1, description="of one model, side by side, for sampling and for rollouts")
    urls: tuple[str, ...] = Field(default=(), description="servers of others, instead of starting any; no /v1")
    tensor_parallel: int = Field(default=1, ge=1, description="devices that share one copy of the model")
    data_parallel: int = Field(default=1, ge=1, description="copies inside one server")
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    eager: bool = Field(default=True, description="no CUDA graphs: starts sooner, runs slower on a GPU")
    max_num_seqs: int = Field(default=256, ge=1, description="candidates that a server works on at a time")
    arguments: tuple[str, ...] = Field(default=(), description="more of vLLM's own, e.g. --max-model-len, 32768")
    in_flight: int = Field(default=1024, ge=1, description="candidates asked of a server at a time")
    ready_s: float = Field(default=300, gt=0, description="until a started server answers")
    down_s: float = Field(default=300, gt=0, description="how long all servers of others may be away")
    stalled_s: float = Field(default=600, gt=0, description="a server without a token for so long is replaced")

    @property
    def count(self) -> int:
        """Servers of one model, ours or others'."""
        return len(self.urls) or self.servers


class ClusterParams(Params):
    """Where things run; outside every cache key, since it changes no result beyond rounding."""

    kind: Literal["local", "ray"] = Field(default="local", description="this machine, or a Ray cluster")
    ray: RayParams = RayParams()
    ranks: int = Field(default=1, ge=1, description="processes of a training job")
    parallel: int = Field(default=1, ge=1, description="training jobs and model servers at work at a time")
    rollouts: Literal["server", "in_process", "hf"] = Field(
        default="server",
        description="the engine's warm servers; vLLM, or transformers' own model, inside the training job",
    )
    stop_s: float = Field(
        default=10, gt=0, description="seconds that a training has from SIGTERM to save its state; then it is killed"
    )
    sync_bucket_mb: int = Field(default=256, ge=1, description="weights that are on their way to an engine at a time")
    gpu: GpuParams = GpuParams()
    weights_over: Literal["auto", "files", "nccl", "gloo"] = Field(
        default="auto",
        description="how a trainer's weights reach servers: files that both see, or a process group over NCCL or gloo; "
        "auto: NCCL from a trainer with a GPU to servers on other machines, else files",
    )
    engine: EngineParams = EngineParams()
    budget: BudgetParams = BudgetParams()

    @model_validator(mode="after")
    def _devices(self) -> "ClusterParams":
        engine, counted = self.engine, self.budget.gpu_hour_price or self.budget.max_gpu_hours
        devices = engine.tensor_parallel * engine.data_parallel
        if counted and not engine.urls and self.budget.gpus != devices:
            raise ValueError(f"a server of the engine occupies {devices} devices: set budget.gpus = {devices}")
        if self.kind == "ray" and self.rollouts == "server" and not engine.urls:
            raise ValueError(
                'servers started here are on loopback: set rollouts = "in_process" or "hf", or name engine.urls'
            )
        return self
