"""Identity and seeds of candidates: by prompt, model, sampling, template and sample index, and by nothing else."""

from dataclasses import dataclass

from r1data.digest import digest_json, row_id, seed_from


@dataclass(frozen=True)
class Prompt:
    """A rendered prompt and the problem it asks."""

    problem_id: str
    text: str


@dataclass(frozen=True)
class Identity:
    """What a candidate's key is made of, beside the prompt and the index."""

    model_digest: str
    sampling_digest: str
    template_digest: str

    def candidate_id(self, prompt: str, index: int) -> str:
        """The content key of one candidate."""
        return row_id("candidate", self.model_digest, self.sampling_digest, self.template_digest, prompt, index)

    def seed(self, prompt: str, index: int) -> int:
        """vLLM gives child i of a request for n the seed + i, so a hole can be refilled alone with its own seed."""
        base = seed_from("candidate", self.model_digest, self.sampling_digest, self.template_digest, prompt)
        return (base >> 1) + index

    @property
    def pool(self) -> str:
        """The folder of recorded answers."""
        digest = digest_json([self.model_digest, self.sampling_digest, self.template_digest])
        return f"calls/{digest[:24]}"
