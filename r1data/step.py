"""Steps and nodes: what is done (`Step`, code with a version) and where it stands in a recipe (`Node`).

A `map` step is a pure function shard by shard over aligned inputs; a `reduce` step takes whole inputs; a `call` step
asks a model and records its answers; a `train` step is a process of its own that commits a checkpoint.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from r1data.digest import digest_json
from r1data.params import Params
from schemas import TableSchema

ELSEWHERE = "@"
Kind = Literal["map", "reduce", "call", "train"]


@dataclass(frozen=True)
class Step:
    """A named, versioned piece of work. The version changes whenever the output for the same input does."""

    name: str
    version: str
    kind: Kind
    output: TableSchema | None
    run: Callable[..., object] | None = None
    module: str = ""


@dataclass(frozen=True)
class Node:
    """A step in a recipe: `inputs` maps argument names to node names; those in `whole` are passed entire to a map.

    An input `@REF` is no node of the recipe but what that ref of the lake points to when the node runs. A node that is
    `kept` (the name of a ref) is not run: it is the checkpoint that the ref has.
    """

    name: str
    stage: str
    step: Step
    params: Params
    inputs: Mapping[str, str] = field(default_factory=dict)
    whole: frozenset[str] = frozenset()
    kept: str = ""

    @property
    def needs(self) -> set[str]:
        """The nodes of the recipe that this one uses."""
        return {name for name in self.inputs.values() if not name.startswith(ELSEWHERE)}

    def key(self, digests: Mapping[str, str]) -> str:
        """The cache key: step, version, params, output schema and the digest of every input by argument name."""
        output = self.step.output.id if self.step.output else "checkpoint"
        params = self.params.model_dump(mode="json")
        return digest_json([self.step.name, self.step.version, output, params, dict(sorted(digests.items()))])[:32]

    def folder(self, key: str) -> str:
        """The directory of this node's output in the lake."""
        return f"data/{self.name}/{key}"
