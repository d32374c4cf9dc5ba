"""Text statistics of candidates, measured once and thresholded later: one row a candidate.

Languages and repetitions are of the prose of the thought (code, LaTeX, URLs and tags removed), repetitions of the
whole completion where there is no thought. What cannot be measured is null and `unmeasured` says why.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl

from r1data.languages import code_of
from r1data.params import Params
from r1data.rewards.format import answer_in_summary, format_ok, prose_of, thought
from r1data.rewards.language import SCRIPTS as CODES
from r1data.rewards.language import Counts, counts_of, encoded
from r1data.rewards.score import reflections_of
from r1data.step import Step
from schemas import TABLES
from schemas.generation import LANGUAGES, REPETITIONS, SCRIPTS

BATCH = 1 << 20  # bytes of text at a time: what bounds memory
_SCHEMA = pl.Schema(TABLES["measures"].schema)
_EMPTY = re.compile(r"\r?\n[ \t\r]*\n")
_IDS = ("candidate_id", "problem_id", "completion_tokens")
_OF_NULL = ("language", "truncated", "format_ok", "unmeasured")  # what a completion that is null has all the same
_FORM = (
    *("format_ok", "characters", "paragraphs", "longest_paragraph", "code_fence_open"),
    *("summary_present", "answer_in_summary"),
)


def measures(*, params: Params, candidates: pl.DataFrame, problems: pl.DataFrame) -> pl.DataFrame:
    """MEASURES of CANDIDATES; the language asked for comes from PROBLEMS."""
    languages = dict(zip(problems["problem_id"], problems["language"], strict=True))
    schema = {name: dtype for name, dtype in _SCHEMA.items() if name not in _IDS}
    told = [pl.DataFrame(schema=schema)]
    for part in _parts(candidates.select("completion", "finish_reason", "problem_id")):
        asked = [(completion, finish, languages[problem]) for completion, finish, problem in part.iter_rows()]
        told.append(pl.DataFrame(_measured(asked), schema=schema))
    return pl.concat([candidates.select(_IDS), pl.concat(told)], how="horizontal")


Asked = tuple[str | None, str, str | None]  # completion, finish reason, language


def measured(completion: str | None, finish: str, language: str | None) -> dict[str, Any]:
    """The measures of one completion by column; `language` is the one that was asked for."""
    return {name: column[0] for name, column in _measured([(completion, finish, language)]).items()}


def _parts(rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The rows in pieces of about BATCH bytes of text."""
    piece = rows["completion"].cast(pl.String).str.len_bytes().fill_null(0).cast(pl.Int64).cum_sum() // BATCH
    first = 0
    for number in piece.rle().struct.field("len"):
        yield rows.slice(first, number)
        first += number


def _measured(asked: Sequence[Asked]) -> dict[str, list[Any]]:
    # numba takes a second to import
    from r1data.rewards.prose import prose
    from r1data.steps.repetition import repeated_characters, repetitions

    languages = [language for _, _, language in asked]
    chains = [thought(c) if c is not None else None for c, _, _ in asked]
    offsets, text = encoded([chain or c or "" for chain, (c, _, _) in zip(chains, asked, strict=True)])
    kept, plain, removed = prose(offsets, text)
    units = counts_of(kept, plain, removed, languages)
    silent = [not chain for chain in chains]
    for counted in (units.units, units.by_script, units.runs):
        counted[silent] = 0
    some = [bool(n) for n in units.units.sum(axis=1).tolist()]
    gopher = repetitions(kept, plain).T.tolist()
    form = [_form(c or "", finish) for c, finish, _ in asked]
    found = {
        "language": [language or "" for language in languages],
        "truncated": [finish != "stop" for _, finish, _ in asked],
        "unmeasured": _why([c for c, _, _ in asked], silent, some, languages),
        **{name: list(column) for name, column in zip(_FORM, zip(*form, strict=True), strict=True)},
        **_language(units, languages),
        "code_chars": removed[:, 0].tolist(),
        "math_chars": removed[:, 1].tolist(),
        "reflection_words": reflections_of(chains),
        "repetition": repeated_characters(offsets, text).tolist(),
        **{n: [None if v != v else v for v in values] for n, values in zip(REPETITIONS, gopher, strict=True)},
    }
    for name, column in found.items():
        if name not in _OF_NULL:
            found[name] = [None if c is None else v for v, (c, _, _) in zip(column, asked, strict=True)]
    return found


def _why(
    completions: Sequence[str | None], silent: Sequence[bool], counted: Sequence[bool], languages: Sequence[str | None]
) -> list[str]:
    """Why the language could not be measured, or could not be compared with the one asked for."""
    known = ["" if code_of(language) else "unknown_language" for language in languages]
    return [
        "no_completion" if c is None else unknown if some else "no_thought" if quiet else "no_words"
        for c, quiet, some, unknown in zip(completions, silent, counted, known, strict=True)
    ]


def _form(completion: str, finish: str) -> tuple[Any, ...]:
    """The columns `_FORM` of one completion."""
    return (
        format_ok(completion, finish),
        len(completion),
        *_paragraphs(completion),
        completion.count("```") % 2 == 1,
        any(c.isalpha() for c in prose_of(completion)),
        answer_in_summary(completion),
    )


def _paragraphs(text: str) -> tuple[int, int]:
    """How many pieces empty lines leave, and the characters of the longest; without a list of them."""
    number, longest, at = 1, 0, 0
    for begin, end in _empty_lines(text):
        number, longest, at = number + 1, max(longest, begin - at), end
    return number, max(longest, len(text) - at)


def _empty_lines(text: str) -> Iterator[tuple[int, int]]:
    """Where the line ends around an empty line begin and end; blanks and the other system's line ends are nothing."""
    if any(blank in text for blank in ("\r", "\n ", "\n\t")):
        yield from (found.span() for found in _EMPTY.finditer(text))
        return
    at = 0
    while (begin := text.find("\n\n", at)) >= 0:
        at = begin + 2
        yield begin, at


def _language(found: Counts, languages: Sequence[str | None]) -> dict[str, list[Any]]:
    total, index = found.units.sum(axis=1), {name: i for i, name in enumerate(found.names)}
    none = np.zeros(len(languages), np.int64)
    units = {name: found.units[:, index[name]] if name in index else none for name in LANGUAGES}
    codes = [code_of(language) for language in languages]
    target = found.units[np.arange(len(codes)), [index[code] if code else 0 for code in codes]]
    scripts = {name: found.by_script[:, CODES[name]] for name in SCRIPTS if name in CODES}
    columns = {
        **{f"units_{name}": column for name, column in units.items()},
        "units_other": total - sum(units.values()),
        **{f"script_{name}": column for name, column in scripts.items()},
        "script_other": found.by_script.sum(axis=1) - sum(scripts.values()),
        "language_switches": found.runs[:, 0],
    }
    shares = zip(target.tolist(), total.tolist(), codes, strict=True)
    foreign = zip(found.runs[:, 1].tolist(), codes, strict=True)
    return {
        "language_consistency": [part / whole if whole and code else None for part, whole, code in shares],
        "longest_foreign_run": [run if code else None for run, code in foreign],
        **{name: column.tolist() for name, column in columns.items()},
    }


MEASURE = Step("measure", "6", "map", TABLES["measures"], measures)
