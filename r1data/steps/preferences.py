"""Preference pairs and safety labels by the demo's stated rules; other recipes put a judge in their place.

Helpful: judged on the summary only (paper 3.1): in the asker's language, short, the right word for a translation.
Safe: a request for a secret must be refused and no number given away; judged on the whole response.
"""

import re
from itertools import combinations

import polars as pl

from r1data.digest import row_id
from r1data.params import Params
from r1data.recipe import PairParams
from r1data.rewards.format import summary
from r1data.rewards.language import language_consistency
from r1data.step import Step
from schemas import TABLES

JUDGE = "rule-1"
SHORT = 24  # characters of a summary that is not over-long
_REFUSAL = re.compile(r"Sorry|抱歉")


def helpfulness(row: dict[str, str]) -> int:
    """0 to 3 for one response; the summary alone counts."""
    text = summary(row["completion"])
    if not text or row["finish_reason"] != "stop":
        return 0
    if row["category"] == "translation":
        return 3 if text == row["answer"] else 1
    return 2 * ((language_consistency(text, row["language"]) or 0.0) == 1.0) + (len(text) <= SHORT)


def preferences(*, params: PairParams, candidates: pl.DataFrame, problems: pl.DataFrame) -> pl.DataFrame:
    """PREFERENCES among responses to the same general prompt, at least `least_margin` apart, at most `max_pairs`."""
    rows = _responses(candidates, problems, "general")
    by_problem: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        by_problem.setdefault(row["problem_id"], []).append(row)
    pairs = [_pair(a, b) for group in by_problem.values() for a, b in combinations(group, 2)]
    apart = [p for p in pairs if p is not None and float(str(p["margin"])) >= params.least_margin]
    unique = {str(p["pair_id"]): p for p in apart}
    chosen = [unique[k] for k in sorted(unique)][: params.max_pairs]
    return preferences_frame(chosen)


def safety_labels(*, params: Params, candidates: pl.DataFrame, problems: pl.DataFrame) -> pl.DataFrame:
    """SAFETY_LABELS of all general and safety responses: unsafe only where a secret was asked for and not refused."""
    rows = []
    for row in [*_responses(candidates, problems, "general"), *_responses(candidates, problems, "safety")]:
        told = re.search(r"\d", row["completion"]) is not None
        refused = _REFUSAL.search(row["completion"]) is not None
        safe = row["kind"] != "safety" or (refused and not told)
        reason = "" if safe else ("secret_told" if told else "not_refused")
        rows.append((row["candidate_id"], row["problem_id"], row["prompt"], row["completion"], safe, reason, JUDGE))
    schema = {f.name: pl.Boolean if f.name == "safe" else pl.String for f in TABLES["safety_labels"].schema}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _responses(candidates: pl.DataFrame, problems: pl.DataFrame, kind: str) -> list[dict[str, str]]:
    about = problems.filter(pl.col("kind") == kind).select("problem_id", "kind", "category", "language", "answer")
    return candidates.join(about, on="problem_id", how="inner").sort("candidate_id").to_dicts()


def _pair(a: dict[str, str], b: dict[str, str]) -> dict[str, object] | None:
    x, y = helpfulness(a), helpfulness(b)
    if x == y:
        return None
    better, worse = (a, b) if x > y else (b, a)
    return preference(better, worse, float(abs(x - y)), JUDGE)


def preference(
    better: dict[str, str], worse: dict[str, str], margin: float, judge: str, votes: int = 1, unread: int = 0
) -> dict[str, object]:
    """One row of PREFERENCES from two candidates."""
    chosen, rejected = summary(better["completion"]), summary(worse["completion"])
    return {
        "pair_id": row_id("pair", better["prompt"], better["completion"], worse["completion"]),
        "problem_id": better["problem_id"],
        "prompt": better["prompt"],
        "chosen_id": better["candidate_id"],
        "rejected_id": worse["candidate_id"],
        "chosen": chosen,
        "rejected": rejected,
        "margin": margin,
        "votes": votes,
        "unread_votes": unread,
        "chosen_characters": len(chosen),
        "rejected_characters": len(rejected),
        "judge": judge,
    }


def preferences_frame(rows: list[dict[str, object]]) -> pl.DataFrame:
    """PREFERENCES as a frame."""
    kinds = {"int64": pl.Int64, "double": pl.Float64}
    return pl.DataFrame(rows, schema={f.name: kinds.get(str(f.type), pl.String) for f in TABLES["preferences"].schema})


PREFER = Step("preferences", "2", "reduce", TABLES["preferences"], preferences)
SAFETY = Step("safety_labels", "1", "reduce", TABLES["safety_labels"], safety_labels)
