"""`Progress`: what a node that asks a model has done so far. One thread writes it, others look."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Progress:
    """Counts of one node's sampling; `expected` is a guess while prompts may stop early."""

    node: str
    expected: int = 0
    prompts: int = 0
    prompts_done: int = 0
    recorded: int = 0
    done: int = 0
    prompt_tokens: int = 0
    tokens: int = 0
    accepted: int = 0
    undecided: int = 0
    truncated: int = 0
    truncated_tokens: int = 0
    started: float = field(default_factory=time.monotonic)
    ended: float | None = None

    @property
    def seconds(self) -> float:
        """Since the first request."""
        return max(1e-9, (self.ended or time.monotonic()) - self.started)

    @property
    def tokens_per_second(self) -> float:
        """Of this run: recorded candidates cost nothing."""
        return self.tokens / self.seconds

    @property
    def seconds_left(self) -> float:
        """At the rate so far; infinite before the first answer."""
        return self.seconds * (self.expected - self.done) / self.done if self.done else float("inf")


Watch = Callable[[Progress], None]
