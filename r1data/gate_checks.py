"""What a recipe says about its gates beside the thresholds: examples of known outcome, and how much each may drop.

Neither decides about a row, so neither enters a cache key: both can change without gating again.
"""

from typing import Literal

from pydantic import Field, model_validator

from r1data.params import Params

GATES = ("truncated", "verdict", "format", "language", "paragraph", "code_block", "repetition", "duplicate", "quota")
OF_ONE_TEXT = frozenset(GATES) - {"verdict", "duplicate", "quota"}
PASS = "pass"
Band = tuple[float, float]


class GateExample(Params):
    """A completion taken for correct, and the gate that it has to miss first, or `pass`."""

    completion: str
    language: str = Field(default="en", description="the one that was asked for")
    finish: Literal["stop", "length"] = "stop"
    expect: str = Field(default=PASS, description="pass, or the name of a gate")

    @model_validator(mode="after")
    def _known_gate(self) -> "GateExample":
        if self.expect != PASS and self.expect not in OF_ONE_TEXT:
            raise ValueError(f"expect = {self.expect!r}: one of pass, {', '.join(sorted(OF_ONE_TEXT))}")
        return self


class GateChecks(Params):
    """Examples for `r1 check`, and for each gate the least and most share of the candidates that it may drop."""

    examples: tuple[GateExample, ...] = ()
    bands: dict[str, Band] = Field(default={}, description="gate = [low, high]; outside, the run fails")

    @model_validator(mode="after")
    def _sane_bands(self) -> "GateChecks":
        for gate, (low, high) in self.bands.items():
            if gate not in GATES:
                raise ValueError(f"bands.{gate}: no such gate; gates: {', '.join(GATES)}")
            if not 0 <= low <= high <= 1:
                raise ValueError(f"bands.{gate} = [{low}, {high}]: shares, the lower one first")
        return self
