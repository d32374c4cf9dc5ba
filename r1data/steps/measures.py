"""Text statistics of candidates, measured once and thresholded later: one row a candidate."""

from collections import Counter
from typing import Any

import polars as pl

from r1data.params import Params
from r1data.rewards.format import format_ok, summary, thought
from r1data.rewards.language import language_units
from r1data.rewards.score import reflection_words
from r1data.step import Step
from schemas import TABLES

NGRAM = 8


def measures(*, params: Params, candidates: pl.DataFrame, problems: pl.DataFrame) -> pl.DataFrame:
    """MEASURES of CANDIDATES; the language asked for comes from PROBLEMS."""
    languages = dict(zip(problems["problem_id"], problems["language"], strict=True))
    columns = ["problem_id", "completion", "finish_reason"]
    rows = [_measured(c, f, languages[p]) for p, c, f in candidates.select(columns).iter_rows()]
    kept = candidates.select("candidate_id", "problem_id", "completion_tokens")
    return pl.concat([kept, pl.DataFrame(rows, schema=_SCHEMA, orient="row")], how="horizontal")


_SCHEMA: dict[str, type[pl.DataType]] = {
    "language": pl.String,
    "format_ok": pl.Boolean,
    "truncated": pl.Boolean,
    "language_consistency": pl.Float64,
    "units_en": pl.Int64,
    "units_zh": pl.Int64,
    "units_other": pl.Int64,
    "language_switches": pl.Int64,
    "characters": pl.Int64,
    "longest_paragraph": pl.Int64,
    "code_fence_open": pl.Boolean,
    "repetition": pl.Float64,
    "reflection_words": pl.Int64,
    "summary_present": pl.Boolean,
}


def measured(completion: str, finish: str, language: str) -> dict[str, Any]:
    """The measures of one completion by column; `language` is the one that was asked for."""
    return dict(zip(_SCHEMA, _measured(completion, finish, language), strict=True))


def _measured(completion: str, finish: str, language: str) -> tuple[object, ...]:
    chain = thought(completion)
    units = language_units(chain or "")
    target = {"en": units.en, "zh": units.zh}.get(language, units.other)
    return (
        language,
        format_ok(completion, finish),
        finish != "stop",
        target / units.total if units.total else None,
        units.en,
        units.zh,
        units.other,
        units.switches,
        len(completion),
        max((len(p) for p in completion.split("\n\n")), default=0),
        completion.count("```") % 2 == 1,
        repetition(chain or completion),
        reflection_words(chain),
        any(c.isalpha() for c in summary(completion)),
    )


def repetition(text: str) -> float:
    """Share of the character 8-grams that are repeats of an earlier one: 0 for none, towards 1 for a loop."""
    grams = [text[i : i + NGRAM] for i in range(len(text) - NGRAM + 1)]
    return 1 - len(Counter(grams)) / len(grams) if grams else 0.0


MEASURE = Step("measure", "2", "map", TABLES["measures"], measures)
