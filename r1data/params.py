"""`Params`: the frozen pydantic base of everything that enters a cache key. Unknown keys are errors."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Params(BaseModel):
    """Frozen, forbids unknown keys: what a step was told, and nothing else."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def added(default: Any, description: str, **limits: Any) -> Any:
    """A field that came after data was made without it: it enters keys and manifests only where it has another value.

    Its default is what the step did before; who changes that default changes the step's version.
    """
    return Field(default=default, description=description, exclude_if=lambda value: value == default, **limits)
