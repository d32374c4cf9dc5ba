"""Text statistics of candidates, measured once and thresholded later: one row a candidate.

Languages and repetitions are of the prose of the thought (code, LaTeX, URLs and tags removed), repetitions of the
whole completion where there is no thought. What cannot be measured is null and `unmeasured` says why.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from r1data.params import Params
from r1data.rewards.format import answer_in_summary, format_ok, summary, thought
from r1data.rewards.language import LanguageUnits, counts, encoded
from r1data.rewards.score import reflection_words
from r1data.step import Step
from schemas import TABLES
from schemas.generation import LANGUAGES, REPETITIONS, SCRIPTS

BATCH = 1 << 22  # characters at a time: what bounds memory
_SCHEMA = pl.Schema(TABLES["measures"].schema)
_IDS = ("candidate_id", "problem_id", "completion_tokens")


def measures(*, params: Params, candidates: pl.DataFrame, problems: pl.DataFrame) -> pl.DataFrame:
    """MEASURES of CANDIDATES; the language asked for comes from PROBLEMS."""
    languages = dict(zip(problems["problem_id"], problems["language"], strict=True))
    rows = candidates.select("completion", "finish_reason", "problem_id").rows()
    asked = [(completion, finish, languages[problem]) for completion, finish, problem in rows]
    told = [row for batch in _batches(asked) for row in _measured(batch)]
    schema = {name: dtype for name, dtype in _SCHEMA.items() if name not in _IDS}
    return pl.concat([candidates.select(_IDS), pl.DataFrame(told, schema=schema, orient="row")], how="horizontal")


Asked = tuple[str | None, str, str]  # completion, finish reason, language


def measured(completion: str | None, finish: str, language: str) -> dict[str, Any]:
    """The measures of one completion by column; `language` is the one that was asked for."""
    return _measured([(completion, finish, language)])[0]


def _batches(asked: Sequence[Asked]) -> Iterator[Sequence[Asked]]:
    first, size = 0, 0
    for i, (completion, _, _) in enumerate(asked):
        size += len(completion or "")
        if size >= BATCH:
            yield asked[first : i + 1]
            first, size = i + 1, 0
    if first < len(asked):
        yield asked[first:]


def _measured(asked: Sequence[Asked]) -> list[dict[str, Any]]:
    # numba takes a second to import
    from r1data.rewards.prose import prose
    from r1data.steps.repetition import repeated_characters, repetitions

    chains = [thought(c) if c is not None else None for c, _, _ in asked]
    units = counts(*encoded([c or "" for c in chains]), [language for _, _, language in asked])
    offsets, text = encoded([chain or c or "" for chain, (c, _, _) in zip(chains, asked, strict=True)])
    kept, plain, removed = prose(offsets, text)
    gopher, loops = repetitions(kept, plain).tolist(), repeated_characters(offsets, text).tolist()
    rows = []
    for i, (chain, (completion, finish, language)) in enumerate(zip(chains, asked, strict=True)):
        if completion is None:
            rows.append(_nothing(finish, language))
            continue
        found = units.row(i)
        rows.append(
            {"language": language, "truncated": finish != "stop", "unmeasured": _why(chain, found)}
            | _form(completion, finish, chain)
            | _language(found, language)
            | {"code_chars": int(removed[i, 0]), "math_chars": int(removed[i, 1])}
            | {"repetition": loops[i]}
            | {name: None if value != value else value for name, value in zip(REPETITIONS, gopher[i], strict=True)}
        )
    return rows


def _why(chain: str | None, found: LanguageUnits) -> str:
    if found.total:
        return ""
    return "no_thought" if not chain else "no_words"


def _nothing(finish: str, language: str) -> dict[str, Any]:
    """The row of a completion that is null."""
    told = {"language": language, "truncated": finish != "stop", "format_ok": False, "unmeasured": "no_completion"}
    return {name: told.get(name) for name in _SCHEMA if name not in _IDS}


def _form(completion: str, finish: str, chain: str | None) -> dict[str, Any]:
    paragraphs = [len(p) for p in completion.split("\n\n")]
    return {
        "format_ok": format_ok(completion, finish),
        "characters": len(completion),
        "paragraphs": len(paragraphs),
        "longest_paragraph": max(paragraphs),
        "code_fence_open": completion.count("```") % 2 == 1,
        "reflection_words": reflection_words(chain),
        "summary_present": any(c.isalpha() for c in summary(completion)),
        "answer_in_summary": answer_in_summary(completion),
    }


def _language(found: LanguageUnits, language: str) -> dict[str, Any]:
    units = {f"units_{name}": found.by_language.get(name, 0) for name in LANGUAGES}
    return {
        "language_consistency": found.consistency(language),
        **units,
        "units_other": found.total - sum(units.values()),
        **{f"script_{name}": found.by_script[name] for name in SCRIPTS},
        "language_switches": found.switches,
        "longest_foreign_run": found.longest_foreign,
    }


MEASURE = Step("measure", "3", "map", TABLES["measures"], measures)
