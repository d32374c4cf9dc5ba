"""Parameters of decontamination and of the search for near-duplicates; a recipe without their sections does neither."""

from pydantic import Field, model_validator

from r1data.params import Params


class DecontaminationParams(Params):
    """What makes training text contaminated: words that it shares with a problem of split eval or benchmark."""

    ngram: int = Field(default=10, ge=5, description="words in a row; characters where a script has no spaces")


class DedupParams(Params):
    """Which kept candidates say the same: MinHash over word shingles, `bands` x `rows` permutations.

    A pair of true Jaccard similarity s meets in a band with probability 1 - (1 - s^rows)^bands: 0.977 at 0.8. From 0.86
    on 95 % and more are found (copies with 2 % of their words changed are at 0.9), at 0.7 one in a hundred.
    """

    similarity: float = Field(default=0.8, gt=0, le=1, description="least estimated Jaccard similarity of a pair")
    shingle: int = Field(default=3, ge=1, description="words in a row; characters where a script has no spaces")
    bands: int = Field(default=16, ge=1)
    rows: int = Field(default=7, ge=1, description="permutations in a band")
    least_words: int = Field(default=20, ge=1, description="shorter texts share the form of an answer; they stay")

    @model_validator(mode="after")
    def _meet(self) -> "DedupParams":
        meet = 1 - (1 - self.similarity**self.rows) ** self.bands
        if meet < 0.9:
            bands = f"{self.bands} bands of {self.rows} rows"
            raise ValueError(f"{bands} let {meet:.0%} of the pairs at {self.similarity} meet: more bands or fewer rows")
        return self
