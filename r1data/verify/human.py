"""Cold-start examples that a person wrote or went through, from a file: question, reasoning, answer, reviewer.

Verified like sampled ones where the question is a problem of the recipe; what no rule verifies is taken as
`unverified`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from r1data.data_params import HumanParams
from r1data.digest import row_id
from r1data.params import Params
from r1data.rewards.format import format_ok
from r1data.rewards.kinds import VERIFIED
from r1data.rewards.score import RuleVerdict
from r1data.step import Step
from r1data.steps.examples import examples_frame
from r1data.steps.files import records_of, require_columns, texts_of
from r1data.steps.problems import EVIDENCE, problem_id
from r1data.verify.verdicts import Asked, judged
from schemas import TABLES

ABOUT = "[cold_start.human]"
REQUIRED = ("question", "reasoning", "answer", "reviewer")
OPTIONAL = ("summary", "language")


class HumanExamplesParams(Params):
    """The file, and the template that its examples are trained under."""

    file: HumanParams
    template: str


def human_examples(*, params: HumanExamplesParams, problems: pl.DataFrame) -> pl.DataFrame:
    """SFT_EXAMPLES of the rows that can be used; `source` names the reviewer, and says `unverified`."""
    return examples_frame(_split(params, problems)[0])


def human_drops(*, params: HumanExamplesParams, problems: pl.DataFrame, examples: pl.DataFrame) -> pl.DataFrame:
    """DROPS of the others: a part is no text or empty, tags inside, held out, the same again, not found right.

    Rows are verified again for the reason alone: what is in `examples` stayed, whatever a verifier that ran out of time
    says now, and what is not has left.
    """
    schema = {f.name: pl.String for f in TABLES["drops"].schema}
    return pl.DataFrame(_split(params, problems, set(examples["example_id"]))[1], schema=schema, orient="row")


def _split(
    params: HumanExamplesParams, problems: pl.DataFrame, stayed: set[str] | None = None
) -> tuple[list[dict[str, object]], list[tuple[str, ...]]]:
    known = {row["problem_id"]: row for row in problems.iter_rows(named=True)}
    rows = list(_rows(params.file))
    texts = [f"<think>{r['reasoning']}</think>{r['summary']}<answer>{r['answer']}</answer>" for r, _ in rows]
    about = [known.get(problem_id(r["question"]), {}) for r, _ in rows]
    told = zip(rows, texts, about, strict=True)
    faults = [unreadable if any(unreadable) else _fault(row, text, p) for (row, unreadable), text, p in told]
    verdicts = _verdicts(texts, about, faults)
    kept: dict[str, dict[str, object]] = {}
    gone: list[tuple[str, ...]] = []
    for i, ((row, _), text, problem, fault) in enumerate(zip(rows, texts, about, faults, strict=True)):
        name = row_id("human", row["question"], text)
        reason, value = fault if any(fault) else _not_right(row, verdicts.get(i))
        if stayed is not None and not any(fault):
            reason = "" if name in stayed else reason or "not_found_right_before"
        if not reason and name in kept:
            reason = "duplicate"
        if reason:
            drop = row_id("dropped human", i, name)
            gone.append((drop, problem_id(row["question"]), "human", reason, value, text[:EVIDENCE]))
        else:
            kept[name] = _example(params, name, row, text, problem)
    return list(kept.values()), gone


def _fault(row: Mapping[str, str], text: str, problem: Mapping[str, Any]) -> tuple[str, str]:
    """(reason, value) of the first thing that is wrong with a row before it is verified; two empty texts if nothing."""
    empty = next((c for c in REQUIRED if not row[c]), "")
    split = problem.get("split", "train")
    tests = (
        (bool(empty), f"no_{empty}", ""),
        (not format_ok(text, "stop"), "tags_inside", ""),
        (split != "train", f"in_{split}", ""),
    )
    return next(((reason, value) for hit, reason, value in tests if hit), ("", ""))


def _verdicts(
    texts: Sequence[str], about: Sequence[Mapping[str, Any]], faults: Sequence[tuple[str, str]]
) -> dict[int, RuleVerdict]:
    """The verdict by place in the file, of rows without a fault whose problem's kind a rule verifies."""
    places = [i for i, p in enumerate(about) if not any(faults[i]) and p.get("kind") in VERIFIED]
    asked = [Asked(texts[i], "stop", about[i]["answer"], about[i]["kind"]) for i in places]
    return dict(zip(places, judged(asked), strict=True))


def _not_right(row: Mapping[str, str], verdict: RuleVerdict | None) -> tuple[str, str]:
    """(reason, value) of a row that is wrong or undecided; two empty texts where it is correct or no rule says."""
    if verdict is None or verdict.verdict == "correct":
        return "", ""
    return verdict.reason or ("wrong_answer" if verdict.verdict == "wrong" else "undecided"), row["answer"]


def _rows(file: HumanParams) -> Iterator[tuple[dict[str, str], tuple[str, str]]]:
    """Every record in our columns, and (reason, column) of a value in it that is no text."""
    records = records_of(ABOUT, file.url)
    theirs = {c: file.columns.get(c, c) for c in (*REQUIRED, *OPTIONAL)}
    needed = {c: theirs[c] for c in (*REQUIRED, *(c for c in OPTIONAL if c in file.columns))}
    require_columns(ABOUT, file.url, records, needed)
    for record in records:
        row, unreadable = texts_of(record, theirs)
        yield {ours: text.strip() for ours, text in row.items()}, unreadable


def _example(
    params: HumanExamplesParams, name: str, row: Mapping[str, str], text: str, problem: Mapping[str, Any]
) -> dict[str, object]:
    """Category and language are the problem's where it is one of the recipe's."""
    unverified = "" if problem.get("kind") in VERIFIED else ", unverified"
    return {
        "example_id": name,
        "parent_id": "",
        "problem_id": problem_id(row["question"]),
        "prompt": params.template.replace("{question}", row["question"]),
        "completion": text,
        "category": problem.get("category", params.file.category),
        "language": problem.get("language") or row["language"] or params.file.language,
        "chain_of_thought": True,
        "source": f"human, reviewed by {row['reviewer']}{unverified}",
        "licence": params.file.licence,
    }


HUMAN = Step("human_examples", "2", "reduce", TABLES["sft_examples"], human_examples)
HUMAN_DROPS = Step("human_drops", "3", "reduce", TABLES["drops"], human_drops)
