"""How candidates are drawn, and when a prompt has enough of them: one rule for a fixed number and for early stops."""

from math import ceil
from typing import Literal

from pydantic import Field, model_validator

from r1data.digest import digest_json
from r1data.params import Params

Truncated = Literal["drop", "keep", "continue"]
_HOW_MANY = {"samples", "stop_at", "max_samples", "truncated", "logprobs"}


class SamplingParams(Params):
    """With `samples` alone every prompt is asked so often. With `stop_at` that is the first round: a prompt stops at so
    many accepted candidates, and hard prompts are asked up to `max_samples` times.
    """

    samples: int = Field(ge=1, description="of every prompt; with stop_at its first round")
    stop_at: int | None = Field(default=None, ge=1, description="stop a prompt at this many accepted candidates")
    max_samples: int | None = Field(default=None, description="most samples of a prompt, with stop_at")
    temperature: float
    top_p: float = 1.0
    max_tokens: int = 96
    truncated: Truncated = Field(
        default="drop",
        description="an answer cut at max_tokens is dropped, kept aside for length studies, or continued once",
    )
    logprobs: bool = Field(default=False, description="keep the log-prob of every token")
    seed: int = 0

    @model_validator(mode="after")
    def _consistent(self) -> "SamplingParams":
        if self.max_samples is not None and (self.stop_at is None or self.max_samples < self.samples):
            raise ValueError("max_samples needs stop_at and is at least samples")
        return self

    @property
    def cap(self) -> int:
        """Most samples of one prompt."""
        return self.samples if self.stop_at is None else self.max_samples or self.samples

    def next_round(self, asked: int, accepted: int, undecided: int = 0) -> int:
        """How many samples to ask of a prompt next; 0 when it has enough, or when none of them could be judged.

        It follows from the counts alone, so that replaying recorded candidates takes the same decisions.
        """
        if not asked:
            return self.samples
        if self.stop_at is None or accepted >= self.stop_at or undecided == asked:
            return 0
        rate = (accepted + 1) / (asked - undecided + 2)
        return min(self.cap - asked, ceil((self.stop_at - accepted) / rate))

    def digest(self) -> str:
        """Of all that shapes an answer, and not of how many there are: more samples reuse the earlier ones."""
        told = self.model_dump(exclude=_HOW_MANY)
        told |= {"continued": True} if self.truncated == "continue" else {}
        told |= {"logprobs": True} if self.logprobs else {}
        return digest_json(told)[:16]
