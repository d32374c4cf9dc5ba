"""What a recipe says about its gates: thresholds, examples of known outcome, and how much each gate may drop.

Examples and bands decide about no row, so neither enters a cache key: both can change without gating again.
"""

from typing import Literal

from pydantic import Field, model_validator

from r1data.params import Params

OF_ONE_TEXT = ("truncated", "format", "language", "paragraph", "code_block", "repetition")
GATES = (*OF_ONE_TEXT, "measures", "verdict", "duplicate", "quota", "contamination", "near_duplicate")
PASS = "pass"
Band = tuple[float, float]


class GateExample(Params):
    """A completion taken for correct, and the gate that it has to miss first, or `pass`."""

    stages: tuple[Literal["cold_start", "sft_mix"], ...] = Field(
        default=("cold_start", "sft_mix"), min_length=1, description="whose gates it is for"
    )
    completion: str
    times: int = Field(default=1, ge=1, description="how often its thought is said, for what is too long to write down")
    language: str = Field(default="en", description="the one that was asked for")
    finish: Literal["stop", "length"] = "stop"
    expect: str = Field(default=PASS, description="pass, or the name of a gate")

    @model_validator(mode="after")
    def _known_gate(self) -> "GateExample":
        if self.expect != PASS and self.expect not in OF_ONE_TEXT:
            raise ValueError(f"expect = {self.expect!r}: one of pass, {', '.join(sorted(OF_ONE_TEXT))}")
        return self

    @property
    def text(self) -> str:
        """The whole completion."""
        start, mark, rest = self.completion.partition("<think>")
        thought, end, after = rest.partition("</think>")
        return f"{start}{mark}{thought * self.times}{end}{after}"


class GateChecks(Params):
    """For each gate the least and most share of the candidates that it may drop."""

    bands: dict[str, Band] = Field(default={}, description="gate = [low, high]; outside, the run fails")

    @model_validator(mode="after")
    def _sane_bands(self) -> "GateChecks":
        for gate, (low, high) in self.bands.items():
            if gate not in GATES:
                raise ValueError(f"bands.{gate}: no such gate; gates: {', '.join(GATES)}")
            if not 0 <= low <= high <= 1:
                raise ValueError(f"bands.{gate} = [{low}, {high}]: shares, the lower one first")
        return self


class GateParams(Params):
    """Thresholds on measures; a row that misses one leaves with that gate as its reason."""

    language_consistency: float | None = Field(default=1.0, ge=0, le=1)
    single_language: bool = False
    longest_paragraph: int = Field(default=2_000, ge=0, description="characters")
    repetition: float = Field(default=0.5, ge=0, allow_inf_nan=False)
    keep_per_problem: int = Field(default=2, ge=1)
    keep: Literal["first", "best", "shortest"] = Field(
        default="first",
        description="which stay within keep_per_problem: by sample index, by share of tests and speed, or by tokens",
    )


class GateSection(GateParams, GateChecks):
    """The gates of a stage: thresholds, and how much they may drop."""

    @property
    def thresholds(self) -> GateParams:
        """What decides about rows and enters cache keys."""
        return GateParams(**self.model_dump(include=set(GateParams.model_fields)))


class ColdStartGate(GateSection):
    """Readable and in one language, whichever (B.3.2)."""

    language_consistency: float | None = Field(default=None, ge=0, le=1)
    single_language: bool = True
