"""Cold-start examples beside R1-Zero's (paper v1 2.3.1): a teacher's answers, and those of an earlier run.

They are candidates like any other until they pass the verifier and the gates; then they are trained on under the prompt
that R1-Zero was asked with. `source` begins with the section's name.
"""

import polars as pl

from r1data.digest import row_id
from r1data.params import Params
from r1data.step import Step
from r1data.steps.examples import example, examples_frame, kept
from r1data.steps.gates import EVIDENCE
from schemas import TABLES


class AskParams(Params):
    """Which training problems are put to which model, and how; where it is served changes no answer."""

    source: str
    model: str
    template: str
    temperature: float
    max_tokens: int
    samples: int
    problems: int
    kinds: tuple[str, ...]
    categories: tuple[str, ...]
    seed: int = 0


class SourceParams(Params):
    """What `source` says of the examples, and the template they are trained under."""

    source: str
    template: str


class EarlierParams(Params):
    """The kinds of problems whose earlier answers can be verified."""

    kinds: tuple[str, ...]


class UnitedParams(Params):
    """Most examples of each source; null or not named: all."""

    quotas: dict[str, int | None]
    seed: int = 0


def source_questions(*, params: AskParams, problems: pl.DataFrame) -> list[tuple[str, str]]:
    """(problem_id, prompt) of the training problems that a teacher is asked, in an order that the seed fixes."""
    asked = problems.filter((pl.col("split") == "train") & pl.col("kind").is_in(params.kinds))
    if params.categories:
        asked = asked.filter(pl.col("category").is_in(params.categories))
    rows = sorted(asked.select("problem_id", "question").iter_rows(), key=lambda r: row_id(params.seed, r[0]))
    return [(name, params.template.replace("{question}", question)) for name, question in rows[: params.problems]]


def earlier(*, params: EarlierParams, earlier: pl.DataFrame, problems: pl.DataFrame) -> pl.DataFrame:
    """CANDIDATES of an earlier run whose problems this recipe trains on, as they are."""
    return earlier.join(_trained_on(params, problems), on="problem_id", how="semi")


def earlier_drops(*, params: EarlierParams, earlier: pl.DataFrame, problems: pl.DataFrame) -> pl.DataFrame:
    """DROPS of the earlier run's other candidates; `value` is the split that has the problem, if any has."""
    gone = earlier.join(_trained_on(params, problems), on="problem_id", how="anti")
    gone = gone.join(problems.select("problem_id", "split"), on="problem_id", how="left")
    return gone.select(
        row_id=pl.col("candidate_id"),
        problem_id=pl.col("problem_id"),
        gate=pl.lit("source"),
        reason=pl.lit("no_training_problem"),
        value=pl.col("split").fill_null(""),
        evidence=pl.col("completion").str.slice(0, EVIDENCE),
    )


def _trained_on(params: EarlierParams, problems: pl.DataFrame) -> pl.DataFrame:
    return problems.filter((pl.col("split") == "train") & pl.col("kind").is_in(params.kinds))


def sourced(
    *,
    params: SourceParams,
    candidates: pl.DataFrame,
    drops: pl.DataFrame,
    problems: pl.DataFrame,
    **others: pl.DataFrame,
) -> pl.DataFrame:
    """SFT_EXAMPLES of the candidates that passed the gates, as they are, under the template."""
    questions = dict(problems.select("problem_id", "question").iter_rows())
    return examples_frame(
        [
            {**example(row, row["completion"], params.source), "prompt": _prompt(params, questions[row["problem_id"]])}
            for row in kept(candidates, drops, problems, **others)
        ]
    )


def _prompt(params: SourceParams, question: str) -> str:
    return params.template.replace("{question}", question)


def united(*, params: UnitedParams, **sources: pl.DataFrame) -> pl.DataFrame:
    """SFT_EXAMPLES of all sources in their order, each up to its quota; the same text twice counts for the first."""
    return _judged(params, sources).filter(pl.col("reason") == "").select(TABLES["sft_examples"].schema.names)


def quota_drops(*, params: UnitedParams, **sources: pl.DataFrame) -> pl.DataFrame:
    """DROPS of the examples beyond their source's quota, and of texts that a source before has; `value`: the source."""
    gone = _judged(params, sources).filter(pl.col("reason") != "")
    gate = pl.when(pl.col("reason") == "same_text").then(pl.lit("duplicate")).otherwise(pl.lit("quota"))
    return gone.select(
        row_id=pl.col("example_id"),
        problem_id=pl.col("problem_id"),
        gate=gate,
        reason=pl.col("reason"),
        value=pl.col("section"),
        evidence=pl.col("completion").str.slice(0, EVIDENCE),
    )


def _judged(params: UnitedParams, sources: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """All rows with the section they are from and the reason to leave (empty: none); a row that left counts no more."""
    frames = []
    texts: set[tuple[str, str]] = set()
    for section, frame in sources.items():
        order = pl.Series([row_id(params.seed, name) for name in frame["example_id"]], dtype=pl.String)
        frame = frame.with_columns(section=pl.lit(section), order=order).sort("order").drop("order")
        most, taken, reasons = params.quotas.get(section), 0, []
        for text in frame.select("problem_id", "completion").iter_rows():
            again, full = text in texts, most is not None and taken >= most
            reasons.append("same_text" if again else "enough_of_source" if full else "")
            if not reasons[-1]:
                texts.add(text)
                taken += 1
        frames.append(frame.with_columns(reason=pl.Series(reasons, dtype=pl.String)))
    return pl.concat(frames)


ASK = Step("ask_teacher", "1", "call", TABLES["candidates"])
EARLIER = Step("earlier_candidates", "1", "reduce", TABLES["candidates"], earlier)
EARLIER_DROPS = Step("earlier_drops", "1", "reduce", TABLES["drops"], earlier_drops)
SOURCED = Step("source_examples", "1", "reduce", TABLES["sft_examples"], sourced)
UNITED = Step("united_examples", "1", "reduce", TABLES["sft_examples"], united)
QUOTA_DROPS = Step("quota_drops", "1", "reduce", TABLES["drops"], quota_drops)
