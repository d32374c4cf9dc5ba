"""Supervised examples: cold start (refined), reasoning (as sampled), general (with or without a thought), the mix."""

import random

import polars as pl

from r1data.digest import row_id, seed_from
from r1data.errors import RecipeError
from r1data.params import Params
from r1data.rewards.format import answer_text, thought
from r1data.rewards.score import rule_verdict
from r1data.step import Step
from r1data.steps.arithmetic import is_sum, rewritten, sum_of, summary_sentence
from schemas import TABLES

_TEXT = pl.String


class GeneralParams(Params):
    """How many non-reasoning examples, and which categories get a chain of thought (greetings never, paper B.3.3)."""

    examples: int
    with_thought: tuple[str, ...]
    template: str
    seed: int


def cold_start(
    *, params: Params, candidates: pl.DataFrame, drops: pl.DataFrame, problems: pl.DataFrame, **others: pl.DataFrame
) -> pl.DataFrame:
    """SFT_EXAMPLES from what passed the gates: the thought in the problem's language, and a summary added.

    Here and below, `others` are further tables of drops: contaminated, near-duplicates.
    """
    rows = []
    for row in kept(candidates, drops, problems, **others):
        answer, _ = answer_text(row["completion"])
        chain = thought(row["completion"])
        assert answer is not None, f"{row['candidate_id']}: passed the gates without an answer"
        assert chain is not None, f"{row['candidate_id']}: passed the gates without a thought"
        if not is_sum(row["metadata"]):
            told = f"cold start: the stated rule refines the demo's sums alone, not problem {row['problem_id']}"
            raise RecipeError(told, "give the recipe a [cold_start.teacher]")
        s = sum_of(row["metadata"], row["language"])
        text = f"<think>{rewritten(chain, s.language)}</think>{summary_sentence(s, answer)}<answer>{answer}</answer>"
        assert rule_verdict(text, "stop", row["gold"]).verdict == "correct", "refinement changed the answer"
        rows.append(example(row, text, "zero, refined by rule"))
    return examples_frame(rows)


def reasoning(
    *, params: Params, candidates: pl.DataFrame, drops: pl.DataFrame, problems: pl.DataFrame, **others: pl.DataFrame
) -> pl.DataFrame:
    """SFT_EXAMPLES of the candidates that passed the gates, as they are."""
    passed = kept(candidates, drops, problems, **others)
    return examples_frame([example(r, r["completion"], "rejection sampling") for r in passed])


def general(*, params: GeneralParams, problems: pl.DataFrame) -> pl.DataFrame:
    """SFT_EXAMPLES of greetings, self-cognition and translation; farewells, thanks and safety are left to RL."""
    taught = ("greeting", "self_cognition", "translation")
    pool = (
        problems.filter(pl.col("category").is_in(taught) & (pl.col("split") == "train")).sort("problem_id").to_dicts()
    )
    rng = random.Random(seed_from("general", params.seed))
    rows = []
    for i in range(params.examples if pool else 0):
        item = rng.choice(pool)
        word = item["question"].split(" ")[0] if item["language"] == "en" else item["question"][0]
        verb = " is " if item["language"] == "en" else "是"
        chain = f"<think>{word}{verb}{item['answer']}</think>" if item["category"] in params.with_thought else ""
        rows.append(
            {
                "example_id": row_id("general", item["problem_id"], i),
                "parent_id": "",
                "problem_id": item["problem_id"],
                "prompt": params.template.replace("{question}", item["question"]),
                "completion": chain + item["answer"],
                "category": item["category"],
                "language": item["language"],
                "chain_of_thought": bool(chain),
                "source": "written by rule",
                "licence": item["licence"],
            }
        )
    return examples_frame(rows)


def mix(*, params: Params, reasoning: pl.DataFrame, general: pl.DataFrame) -> pl.DataFrame:
    """Both sets as one."""
    return pl.concat([reasoning, general])


def kept(
    candidates: pl.DataFrame, drops: pl.DataFrame, problems: pl.DataFrame, **others: pl.DataFrame
) -> list[dict[str, str]]:
    """The candidates in no table of drops, by candidate_id, with what their problems say; `gold` is the answer."""
    about = problems.select("problem_id", "language", "category", "metadata", "licence", gold=pl.col("answer"))
    passed = candidates
    for gone in (drops, *others.values()):
        passed = passed.join(gone, left_on="candidate_id", right_on="row_id", how="anti")
    return passed.join(about, on="problem_id", how="inner").sort("candidate_id").to_dicts()


def example(row: dict[str, str], completion: str, source: str) -> dict[str, object]:
    """One row of SFT_EXAMPLES: a kept candidate's prompt with a completion."""
    return {
        "example_id": row_id("example", row["candidate_id"], completion),
        "parent_id": row["candidate_id"],
        "problem_id": row["problem_id"],
        "prompt": row["prompt"],
        "completion": completion,
        "category": row["category"],
        "language": row["language"],
        "chain_of_thought": True,
        "source": source,
        "licence": row["licence"],
    }


def examples_frame(rows: list[dict[str, object]]) -> pl.DataFrame:
    """SFT_EXAMPLES as a frame."""
    names = TABLES["sft_examples"].schema.names
    return pl.DataFrame(rows, schema={n: pl.Boolean if n == "chain_of_thought" else _TEXT for n in names})


COLD_START = Step("cold_start_examples", "2", "map", TABLES["sft_examples"], cold_start)
REASONING = Step("reasoning_examples", "2", "map", TABLES["sft_examples"], reasoning)
GENERAL = Step("general_examples", "1", "reduce", TABLES["sft_examples"], general)
MIX = Step("mix", "1", "reduce", TABLES["sft_examples"], mix)
