"""Which problems a stage of reinforcement learning asks: by how the last sampled checkpoint did on them.

A group whose outputs are all right or all wrong has no advantage (paper 2.1): such prompts are only cost. A problem
that was never sampled, or never decided, stays.
"""

from typing import Any, Literal

import polars as pl

from r1data.errors import RecipeError
from r1data.params import Params
from r1data.rewards.kinds import VERIFIED
from r1data.step import Step
from schemas import TABLES

EVIDENCE = 160


class RlPromptsParams(Params):
    """Whether problems that were always or never right are left out (`mixed`)."""

    prompts: Literal["all", "mixed"]


def rl_prompts(*, params: RlPromptsParams, problems: pl.DataFrame, difficulty: pl.DataFrame) -> pl.DataFrame:
    """RL_PROMPTS: the verified training problems that stay, with what DIFFICULTY knows; `RecipeError` if none does."""
    rows = _known(problems, difficulty)
    kept = [r for r in rows if _reason(params, r) is None]
    if rows and not kept:
        raise RecipeError(
            f"RL prompts: each of the {len(rows)} verified training problems was always right or always wrong",
            'set prompts = "all", or add sources of other difficulty',
        )
    return pl.DataFrame(kept, schema=pl.DataFrame(TABLES["rl_prompts"].empty()).schema)


def rl_prompt_drops(*, params: RlPromptsParams, problems: pl.DataFrame, difficulty: pl.DataFrame) -> pl.DataFrame:
    """DROPS: the problems that are left out, with correct of decided samples as value."""
    questions = dict(problems.select("problem_id", "question").iter_rows())
    rows = [
        (p, p, "difficulty", reason, f"{r['correct']}/{r['decided']}", questions[p][:EVIDENCE])
        for r in _known(problems, difficulty)
        if (p := r["problem_id"]) and (reason := _reason(params, r))
    ]
    return pl.DataFrame(rows, schema={f.name: pl.String for f in TABLES["drops"].schema}, orient="row")


def _known(problems: pl.DataFrame, difficulty: pl.DataFrame) -> list[dict[str, Any]]:
    """Verified training problems by id; counts are 0 where one was not sampled."""
    asked = problems.filter((pl.col("split") == "train") & pl.col("kind").is_in(VERIFIED)).select("problem_id")
    counts = difficulty.select(
        "problem_id", "asked", "correct", "pass_rate", decided=pl.col("correct") + pl.col("wrong")
    )
    found = asked.join(counts, on="problem_id", how="left", validate="1:1").sort("problem_id")
    return found.with_columns(pl.col("asked", "correct", "decided").fill_null(0)).to_dicts()


def _reason(params: RlPromptsParams, row: dict[str, Any]) -> str | None:
    if params.prompts == "all" or not row["decided"] or 0 < row["correct"] < row["decided"]:
        return None
    return "all_right" if row["correct"] else "all_wrong"


RL_PROMPTS = Step("rl_prompts", "1", "reduce", TABLES["rl_prompts"], rl_prompts)
RL_PROMPT_DROPS = Step("rl_prompt_drops", "1", "reduce", TABLES["drops"], rl_prompt_drops)
