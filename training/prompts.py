"""Which prompts a step asks: the training problems of a stage in a seeded order of each epoch."""

from typing import Any

import polars as pl

from r1data.digest import row_id
from r1data.errors import RecipeError
from r1data.rewards.kinds import VERIFIED
from r1data.training_params import GrpoParams
from training.rollout import Ask

MODEL_OF = {"general": "helpful", "safety": "safe"}
Extra = tuple[int, int]  # verified and general prompts


class Prompts:
    """A step's prompts follow from its number, and from how many more than planned the steps before it asked.

    `chosen` (RL_PROMPTS): the verified problems to ask, and their shares of correct ones, by which `easy_first` orders.
    """

    def __init__(self, problems: pl.DataFrame, params: GrpoParams, chosen: pl.DataFrame | None = None) -> None:
        assert chosen is not None or not params.by_difficulty, "the recipe's graph gives them"
        self.params = params
        # of one prompt the smoothed share is nearer to the truth than the unbiased pass_rate, which is for averages
        share = pl.when(pl.col("decided") > 0).then((pl.col("correct") + 0.5) / (pl.col("decided") + 1))
        self._rates = {} if chosen is None else dict(chosen.select("problem_id", share.alias("share")).iter_rows())
        learn = problems.filter(pl.col("split") == "train").sort("problem_id").to_dicts()
        verified = [r for r in learn if r["kind"] in VERIFIED]
        self.verified = verified if chosen is None else [r for r in verified if r["problem_id"] in self._rates]
        self.general = [r for r in learn if r["kind"] in MODEL_OF]
        self._orders: dict[tuple[bool, int], list[dict[str, Any]]] = {}

    def of_step(self, step: int, before: Extra = (0, 0)) -> list[Ask]:
        """The prompts of a step: `general_share` of them general from `general_from_step` on."""
        verified, general = self._counts(step)
        return self._asks((step * verified + before[0], step * general + before[1]), (verified, general))

    def more(self, step: int, before: Extra, counts: Extra) -> list[Ask]:
        """The next prompts of the epochs after those of the step; `before` counts those that it had more of, too."""
        verified, general = self._counts(step)
        return self._asks(((step + 1) * verified + before[0], (step + 1) * general + before[1]), counts)

    def _counts(self, step: int) -> Extra:
        share = self.params.general_share if step >= self.params.general_from_step else 0.0
        general = round(self.params.prompts_per_step * share)
        return self.params.prompts_per_step - general, general

    def _asks(self, first: Extra, counts: Extra) -> list[Ask]:
        return [
            Ask(
                problem_id=r["problem_id"],
                prompt=self.params.template.replace("{question}", r["question"]),
                answer=r["answer"] or "",
                language=r["language"],
                kind=r["kind"],
            )
            for general in (False, True)
            for r in self._turn(general, first[general], counts[general])
        ]

    def probe_texts(self) -> list[str]:
        """Prompts whose log-probs go into the manifest."""
        rows = (self.verified or self.general)[:4]
        return [self.params.template.replace("{question}", r["question"]) for r in rows]

    def _turn(self, general: bool, first: int, count: int) -> list[dict[str, Any]]:
        """`count` problems: consecutive ones of the epochs' orders."""
        rows = self.general if general else self.verified
        if count and not rows:
            kind = "general or safety" if general else " or ".join(VERIFIED)
            raise RecipeError(f"no training problems of kind {kind}", "add a source of that kind to the recipe")
        places = [divmod(position, len(rows)) for position in range(first, first + count)]
        return [self._order(general, epoch)[place] for epoch, place in places]

    def _order(self, general: bool, epoch: int) -> list[dict[str, Any]]:
        if (general, epoch) not in self._orders:
            rows = self.general if general else self.verified
            ordered = sorted(rows, key=lambda r: row_id(self.params.seed, epoch, r["problem_id"]))
            if self.params.curriculum == "easy_first":
                ordered.sort(key=self._difficulty)  # stable: ties stay in the seeded order
            self._orders[general, epoch] = ordered
        return self._orders[general, epoch]

    def _difficulty(self, row: dict[str, Any]) -> float:
        """From -1 (always right) to 0 (never), then the unknown."""
        rate = self._rates.get(row["problem_id"])
        return 1.0 if rate is None else -rate
