"""`Params`: the frozen pydantic base of everything that enters a cache key. Unknown keys are errors."""

from pydantic import BaseModel, ConfigDict


class Params(BaseModel):
    """Frozen, forbids unknown keys: what a step was told, and nothing else."""

    model_config = ConfigDict(frozen=True, extra="forbid")
