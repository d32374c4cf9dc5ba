"""Gates: thresholds on verdicts and measures. A candidate that leaves does so with gate, reason, value and evidence."""

from collections import Counter
from typing import Any

import polars as pl

from r1data.digest import row_id
from r1data.gate_params import GateParams
from r1data.step import Step
from schemas import TABLES
from schemas.generation import LANGUAGES

EVIDENCE = 160
# a language counts as spoken from its first unit, but for those that are told apart by windows of words or hold what
# is no language: names and short quotations give a long English text a few units of French, `other` has the letters
# of formulas (a change of angle in Greek). Labelled second languages have 9 % and more, 3,600 GSM8K solutions none.
STRAY = 0.02
GUESSED = ("fr", "de", "es", "other")
# Japanese sentences without kana count as Chinese: headings, sums; labelled Chinese in Japanese has 28 %
KANALESS = 0.2
_ORDERS: dict[str, dict[str, bool]] = {
    "first": {},
    "best": {"share": True, "speed": True},
    "shortest": {"completion_tokens": False},
}


class DropsParams(GateParams):
    """The recipe's gates, and whether truncated candidates are kept aside rather than dropped."""

    length_study: bool = False


def drops(
    *, params: DropsParams, candidates: pl.DataFrame, verdicts: pl.DataFrame, measures: pl.DataFrame
) -> pl.DataFrame:
    """DROPS: the first gate that each rejected candidate misses, in a fixed order; then duplicates (value: the id of
    the candidate that stays) and the quota.

    All candidates of a problem are here at a time. The volatile `speed` is read with keep = "best" alone: only there
    may verdicts of one digest, measured twice, keep different candidates.
    """
    judged = verdicts.select("candidate_id", "verdict", "reason", "share", "speed")
    joined = candidates.join(judged, on="candidate_id", how="left")
    joined = joined.join(measures.drop("problem_id", "completion_tokens"), on="candidate_id", how="left")
    seen: dict[str, str] = {}
    kept: Counter[str] = Counter()
    rows = []
    for row in _ordered(params, joined).iter_rows(named=True):
        miss = missed(params, row) or _surplus(params, row, seen, kept)
        if miss is None:
            seen[_content(row)] = row["candidate_id"]
            kept[row["problem_id"]] += 1
        else:
            gate, reason, value = miss
            aside = params.length_study and gate == "truncated"
            reason = "kept_for_length_study" if aside else reason
            evidence = (row["completion"] or "")[:EVIDENCE]
            rows.append((row["candidate_id"], row["problem_id"], gate, reason, value, evidence))
    return pl.DataFrame(rows, schema={f.name: pl.String for f in TABLES["drops"].schema}, orient="row")


def _ordered(params: GateParams, joined: pl.DataFrame) -> pl.DataFrame:
    """A problem's candidates together, those that the quota prefers first."""
    by = {"problem_id": False, **_ORDERS[params.keep], "sample_index": False}
    return joined.sort(*by, descending=list(by.values()), nulls_last=True)


def missed(params: GateParams, row: dict[str, Any]) -> tuple[str, str, str] | None:
    """(gate, reason, value) of the first gate that a candidate's row, with verdict and measures, misses."""
    if row["characters"] is None:
        return "measures", "no_completion", ""
    consistency = row["language_consistency"]
    spoken = _spoken(row)
    target = params.language_consistency
    below = target is not None and (consistency is None or consistency < target)
    tests = (
        (row["truncated"], "truncated", "no_end", str(row["completion_tokens"])),
        (row["verdict"] != "correct", "verdict", row["verdict"], row["reason"]),
        (not row["format_ok"], "format", "not_the_pattern", ""),
        (below, "language", "unmeasured" if consistency is None else "below", str(consistency)),
        (params.single_language and len(spoken) > 1, "language", "mixed", _listed(spoken)),
        (row["longest_paragraph"] > params.longest_paragraph, "paragraph", "too_long", str(row["longest_paragraph"])),
        (row["code_fence_open"], "code_block", "unclosed", ""),
        (row["repetition"] > params.repetition, "repetition", "above", f"{row['repetition']:.3f}"),
    )
    return next(((gate, reason, value) for hit, gate, reason, value in tests if hit), None)


def _spoken(row: dict[str, Any]) -> dict[str, int]:
    """Units of the languages of a thought, but for what is too little to be one."""
    units = {name: row[f"units_{name}"] for name in (*LANGUAGES, "other")}
    most = max(units, key=lambda name: units[name])
    least = dict.fromkeys(GUESSED, STRAY)
    if most in GUESSED:
        least["en"] = STRAY
    if most == "ja":
        least["zh"] = KANALESS
    total = sum(units.values())
    return {name: number for name, number in units.items() if number > least.get(name, 0) * total}


def _listed(units: dict[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in units.items())


def _surplus(
    params: GateParams, row: dict[str, Any], seen: dict[str, str], kept: Counter[str]
) -> tuple[str, str, str] | None:
    twin = seen.get(_content(row))
    if twin is not None:
        return "duplicate", "same_text", twin
    if kept[row["problem_id"]] >= params.keep_per_problem:
        return "quota", "enough_for_problem", str(params.keep_per_problem)
    return None


def _content(row: dict[str, Any]) -> str:
    return row_id(row["problem_id"], row["completion"])


GATE = Step("gate", "5", "map", TABLES["drops"], drops)
