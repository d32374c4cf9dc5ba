"""What data stages are told beyond sampling: models served elsewhere, imported examples, and their mixture."""

from typing import Literal

from pydantic import Field, model_validator

from r1data.params import Params

Category = Literal["writing", "role_play", "factual_qa", "self_cognition", "translation", "software", "greeting"]
Thoughtful = Literal["writing", "role_play", "factual_qa", "self_cognition", "translation", "software"]
WHERE_SERVED = {"url", "chat", "in_flight", "timeout_s"}


class ServedParams(Params):
    """A model behind an OpenAI-compatible endpoint; where it is served is outside every cache key."""

    url: str | tuple[str, ...] = Field(
        min_length=1, description="base URL without /v1, or several that serve the same model"
    )
    model: str
    chat: bool = Field(default=True, description="false: the prompt goes to /v1/completions as it is")
    in_flight: int = Field(default=64, ge=1, description="answers asked for at a time")
    timeout_s: float = Field(default=1800, gt=0, description="longest time without any answer")
    temperature: float = 0.6

    @property
    def urls(self) -> tuple[str, ...]:
        """The servers."""
        return (self.url,) if isinstance(self.url, str) else self.url


class TeacherParams(ServedParams):
    """An OpenAI-compatible chat endpoint that rewrites chains of thought (its key: R1_TEACHER_KEY).

    Without one the demo's stated rule does it, which knows nothing but the demo's sums.
    """

    template: str = Field(default="refine", description="the prompt, with {question} and {thought}")
    translate: str = Field(default="translate", description="the prompt for a thought that mixes languages")
    mixed: Literal["translate", "drop"] = Field(
        default="translate", description="drop: thoughts that mix languages leave by the gates before the teacher"
    )
    max_tokens: int = 4096


class ThoughtParams(ServedParams):
    """An endpoint that adds a chain of thought to imported examples (its key: R1_TEACHER_KEY); never to a greeting."""

    template: str = Field(default="r1_thought", description="the prompt, with {question} and {response}")
    max_tokens: int = 4096
    categories: tuple[Thoughtful, ...] = Field(description="which categories get a thought; the others get none")


class NonReasoningParams(Params):
    """Non-reasoning examples from a JSONL or Parquet file: whole responses, taken as they are (paper B.3.3)."""

    name: str
    url: str = Field(
        description="local path, s3://, https:// or hf://datasets/OWNER/NAME@REVISION/FILE, which Polars reads; "
        "without @REVISION a data set that changes under its name is not read again"
    )
    columns: dict[str, str] = Field(
        default={}, description="our column = theirs: prompt, response, category, licence, language"
    )
    category: Category | None = Field(default=None, description="of rows whose file has no such column")
    categories: dict[str, Category] = Field(default={}, description="their name of a category = ours")
    licence: str = Field(default="", description="of rows whose file does not say; a row without one is dropped")
    language: str = "en"
    limit: int | None = Field(default=None, ge=1, description="the first so many rows")
    pin: str = Field(default="", description="what the file was when the run began; filled in by the run")


class PartParams(Params):
    """At most so much of one part of a mixture; null: all of it."""

    rows: int | None = Field(default=None, ge=1)
    tokens: int | None = Field(default=None, ge=1, description="of the completions, by [sft_mix.mixture] tokenizer")
    characters: int | None = Field(default=None, ge=1, description="of the completions")


class MixtureParams(Params):
    """How much of each part a mixture has: at most the numbers stated, then cut so that the share holds."""

    reasoning: PartParams = PartParams()
    general: PartParams = PartParams()
    general_share: float | None = Field(default=None, gt=0, lt=1, description="of the whole mixture, in `unit`")
    unit: Literal["rows", "tokens", "characters"] = Field(
        default="rows", description="what general_share is a share of"
    )
    tokenizer: str | None = Field(default=None, description="URL of a tokenizer.json that counts tokens")
    tokenizer_pin: str = Field(default="", description="what that file was when the run began; filled in by the run")
    seed: int | None = Field(default=None, description="[sft_mix] seed unless given")

    @model_validator(mode="after")
    def _countable(self) -> "MixtureParams":
        counted = self.unit == "tokens" or self.reasoning.tokens or self.general.tokens
        if counted and self.tokenizer is None:
            raise ValueError("tokens are counted by a tokenizer: name its tokenizer.json, or state characters")
        return self


class PairLengthParams(Params):
    """How alike the lengths of chosen and rejected are (paper 3.1: comparable); of judged pairs alone, in characters.

    Bins are of the longer by the shorter: 1 to `bin`, `bin` to `bin` squared, and so on.
    """

    ratio: float = Field(
        default=2.0,
        ge=1,
        allow_inf_nan=False,
        description="pairs of which one summary is longer by more than this leave",
    )
    balanced: bool = Field(default=True, description="as many pairs in a bin with the chosen longer as with it shorter")
    bin: float = Field(default=1.25, ge=1.01, allow_inf_nan=False, description="how wide a bin is, as a factor")


class ZeroExamplesParams(Params):
    """What the cold-start set takes of R1-Zero's own answers; they are asked with the recipe's zero_template."""

    quota: int | None = Field(default=None, ge=1, description="most examples of this source")


class AskedParams(ServedParams):
    """An endpoint that solves problems itself, as a source of cold-start examples (its key: R1_TEACHER_KEY).

    Its answers pass the same verifier and gates as R1-Zero's.
    """

    template: str = Field(description="the prompt, with {question}; r1_few_shot or r1_reflective unless given")
    problems: int = Field(ge=1, description="how many are asked")
    categories: tuple[str, ...] = Field(default=(), description="of the problems that are asked; none: all")
    samples: int = Field(default=1, ge=1, description="answers to each")
    max_tokens: int = 4096
    quota: int | None = Field(default=None, ge=1, description="most examples of this source")


class FeedbackParams(Params):
    """Good answers of an earlier run as cold-start examples: verified and gated again, training problems only."""

    ref: str = Field(description="what was sampled there, such as other-recipe/sft_mix or other-recipe/eval/r1")
    quota: int | None = Field(default=None, ge=1, description="most examples of this source")


class HumanParams(Params):
    """Cold-start examples that a person wrote or went through, from a JSONL or Parquet file."""

    url: str
    columns: dict[str, str] = Field(
        default={}, description="our column = theirs: question, reasoning, answer, reviewer; summary, language"
    )
    category: str = Field(default="human", description="of questions that are none of the recipe's problems")
    language: str = "en"
    licence: str = Field(description="of the file's texts")
    quota: int | None = Field(default=None, ge=1, description="most examples of this source")
    pin: str = Field(default="", description="what the file was when the run began; filled in by the run")
