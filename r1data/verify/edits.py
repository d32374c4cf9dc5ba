"""Completions that a reviewer wrote: verified against the gold of their problem and measured, as sampled ones are.

The gold is that of the problems which the reviewed rows were made from, found through their manifests. Where no rule
verifies (kinds general, safety, judged; a question that is none of the recipe's), an edit is taken as `unverified`.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import polars as pl

from r1data.errors import LakeError
from r1data.manifest import Manifest, read_manifest, read_rows
from r1data.review import UNVERIFIED, Edit, VerifiedEdit
from r1data.rewards.kinds import VERIFIED
from r1data.rewards.score import RuleVerdict
from r1data.steps.measures import measured
from r1data.storage import Lake
from r1data.verify.verdicts import Asked, judged

MEASURES = ("language_consistency", "repetition", "longest_paragraph", "characters", "reflection_words")
LONGEST = 80
_NO_PROBLEM = RuleVerdict(UNVERIFIED, "no_problem", None, "none")
_NO_RULE = RuleVerdict(UNVERIFIED, "no_rule", None, "none")
Row = dict[str, Any]


def verified_edits(lake: Lake, manifest: Manifest, edits: Sequence[Edit]) -> tuple[VerifiedEdit, ...]:
    """The edits of a set of examples with verdict and measures; `LakeError` names every one that is not right.

    Programs run in the sandbox alone.
    """
    if not edits:
        return ()
    wanted = {e.example_id for e in edits}
    columns = ["example_id", "problem_id", "language"]
    rows = {r["example_id"]: r for r in _rows(lake, manifest, columns, "example_id", wanted)}
    problems = _problems(lake, manifest, {r["problem_id"] for r in rows.values()})
    about = [problems.get(rows[e.example_id]["problem_id"]) for e in edits]
    found = _verdicts(edits, about)
    faults = [line for told in zip(edits, found, about, strict=True) for line in _fault(*told)]
    if faults:
        raise LakeError(
            f"{manifest.name}: {len(faults)} edits are not right, and nothing was written down\n" + "\n".join(faults),
            "mend these edits, or reject their rows",
        )
    return tuple(
        VerifiedEdit(
            **e.model_dump(),
            verdict=v.verdict,
            reason=v.reason,
            tier=v.tier,
            measures=_measures(e, rows[e.example_id]["language"]),
        )
        for e, v in zip(edits, found, strict=True)
    )


def _verdicts(edits: Sequence[Edit], about: Sequence[Row | None]) -> list[RuleVerdict]:
    """By rule where the kind has one; every edit ended by itself."""
    asked = [
        Asked(e.completion, "stop", p["answer"], p["kind"]) if p and p["kind"] in VERIFIED else None
        for e, p in zip(edits, about, strict=True)
    ]
    by_rule = iter(judged([a for a in asked if a is not None]))
    told = zip(asked, about, strict=True)
    return [next(by_rule) if a is not None else _NO_RULE if p else _NO_PROBLEM for a, p in told]


def _fault(edit: Edit, verdict: RuleVerdict, problem: Row | None) -> Iterator[str]:
    """A line about an edit that is wrong or undecided: row, verdict and reason."""
    if verdict.verdict in ("correct", UNVERIFIED):
        return
    why = [verdict.reason.replace("_", " ")] if verdict.reason else []
    why += [f"it answers {verdict.answer[:LONGEST]!r}"] if verdict.answer else []
    if problem and problem["kind"] == "math" and problem["answer"]:  # other golds are test sets and puzzles
        why.append(f"the answer is {problem['answer'][:LONGEST]!r}")
    yield f"  row {edit.example_id}: {verdict.verdict}: {', '.join(why) or 'its tests say so'}"


def _measures(edit: Edit, language: str) -> dict[str, float | None]:
    found = measured(edit.completion, "stop", language)
    return {name: None if found[name] is None else float(found[name]) for name in MEASURES}


def _problems(lake: Lake, manifest: Manifest, wanted: Collection[str]) -> dict[str, Row]:
    """Kind and gold of the problems that these rows were made from, by problem_id; none where they name none."""
    name, level, seen = f"{manifest.name.partition('/')[0]}/problems", list(manifest.parents), set[str]()
    while level:
        path = next((p.path for p in level if p.name == name), None)
        if path:
            columns = ["problem_id", "kind", "answer"]
            return {r["problem_id"]: r for r in _rows(lake, read_manifest(lake, path), columns, "problem_id", wanted)}
        seen |= {p.path for p in level}
        above = (q for p in {p.path for p in level} for q in read_manifest(lake, p).parents)
        level = [q for q in above if q.path not in seen]
    return {}


def _rows(lake: Lake, manifest: Manifest, columns: list[str], key: str, wanted: Collection[str]) -> list[Row]:
    found = pl.DataFrame(read_rows(lake, manifest, columns)).select(columns)
    return found.filter(pl.col(key).is_in(list(wanted))).to_dicts()
