"""Problems from reasoning-gym, from any JSONL or Parquet URL, and the demo's small talk; splits disjoint by content.

Where the same problem stands in two splits, benchmark wins over eval, and eval over train; `assert_disjoint` checks.
What leaves (the same problem again, a sum without a wording, a row without question or gold) is in `problem_drops`.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import polars as pl

from r1data.digest import printable, row_id
from r1data.errors import CheckFailed, RecipeError, boundary
from r1data.params import Params
from r1data.recipe import SourceParams
from r1data.step import Step
from r1data.steps.files import column_names, records_of, require_columns
from r1data.steps.golds import fault_of, gold, logic_gold, wanted_columns
from r1data.steps.small_talk import small_talk
from schemas import TABLES

PRECEDENCE = ("benchmark", "eval", "train")
EVIDENCE = 160
_EXPRESSION = re.compile(r"(\d+) ([-+]) (\d+)")


class ProblemsParams(Params):
    """The recipe's sources, in order."""

    sources: tuple[SourceParams, ...]


def problems(*, params: ProblemsParams) -> pl.DataFrame:
    """PROBLEMS of all sources, each content once, in the strictest split that has it."""
    kept, _ = _split(params)
    if not kept:
        raise RecipeError("no source gave any problem", "look at the recipe's [[sources]]")
    frame = pl.DataFrame(kept, schema={f.name: pl.String for f in TABLES["problems"].schema})
    assert_disjoint(frame)
    return frame


def problem_drops(*, params: ProblemsParams) -> pl.DataFrame:
    """DROPS: what the sources gave and PROBLEMS has not, or has from another source; `problem_id` is the row's own."""
    _, gone = _split(params)
    return pl.DataFrame(gone, schema={f.name: pl.String for f in TABLES["drops"].schema}, orient="row")


def _split(params: ProblemsParams) -> tuple[list[dict[str, Any]], list[tuple[str, ...]]]:
    """(rows of PROBLEMS, rows of DROPS)."""
    rows = [row for source in params.sources for row in _rows(source)]
    rank = {split: i for i, split in enumerate(PRECEDENCE)}
    rows.sort(key=lambda r: rank[r["split"]])  # stable: the first source that has a problem keeps it
    kept: dict[str, dict[str, Any]] = {}
    gone: list[tuple[str, ...]] = []
    for i, candidate in enumerate(rows):
        unsaid = not candidate["question"]
        first = None if unsaid else kept.setdefault(content(candidate), candidate)
        if first is candidate:
            continue
        gate, reason = _fault(candidate) if first is None else ("duplicate", f"in_{first['split']}")
        about = candidate["question"] or candidate["metadata"]
        name = row_id("dropped problem", candidate["source"], i, about)
        gone.append(
            (name, name if unsaid else candidate["problem_id"], gate, reason, candidate["source"], about[:EVIDENCE])
        )
    return list(kept.values()), gone


def _fault(row: dict[str, Any]) -> tuple[str, str]:
    """(gate, reason) of a row without a question."""
    fault = json.loads(row["metadata"]).get("fault")
    return ("source", fault) if fault else ("wording", "no_wording")


def content(row: dict[str, Any]) -> str:
    """What makes two problems the same: the expression where there is one (whatever the wording), else the question."""
    expression = json.loads(row["metadata"]).get("expression")
    return row_id("expression", expression) if expression else row_id("question", _plain(row["question"]))


def assert_disjoint(frame: pl.DataFrame) -> None:
    """Raise `CheckFailed` if any content stands in two splits."""
    found: dict[str, str] = {}
    for row in frame.select("question", "metadata", "split").to_dicts():
        other = found.setdefault(content(row), row["split"])
        if other != row["split"]:
            raise CheckFailed(f"problem {row['question']!r} is in both {other} and {row['split']}", "this is a defect")


def problem_id(question: str) -> str:
    """The id of a problem: the hash of its question, whatever its case and spaces."""
    return row_id("problem", _plain(question))


def _plain(question: str) -> str:
    return " ".join(question.lower().split())


def _rows(source: SourceParams) -> Iterator[dict[str, Any]]:
    if source.task == "demo_general":
        yield from small_talk(source)
    elif source.task:
        yield from _reasoning_gym(source)
    elif source.url:
        yield from _file(source, source.url)
    else:
        raise RecipeError(f"source {source.name!r}: neither task nor url", "give one of the two")


def _reasoning_gym(source: SourceParams) -> Iterator[dict[str, Any]]:
    import reasoning_gym

    with boundary(RecipeError, f"source {source.name!r}, task {source.task!r}", "see reasoning-gym's list of tasks"):
        made = reasoning_gym.create_dataset(source.task, seed=source.seed, size=source.size, **source.options)
    languages = sorted(source.wording) or [source.language]
    for i, item in enumerate(made):
        language = languages[i % len(languages)]
        expression = item["metadata"].get("expression")
        parts = _EXPRESSION.fullmatch(expression or "")
        question, answer = item["question"], item["answer"]
        if source.kind == "logic":
            with boundary(RecipeError, f"source {source.name!r}, task {source.task!r}", 'give it kind = "math"'):
                answer = logic_gold(source.task or "", item)
        if source.wording and (parts is None or int(item["answer"]) < 0):
            question = ""  # the wording is of a op b; the demo's models write no minus sign before a number
        elif parts and source.wording:
            op = parts[2] if language == "en" else {"+": "加", "-": "减"}[parts[2]]
            question = source.wording[language].format(a=parts[1], op=op, b=parts[3])
        yield row(source, question, answer, language, {"expression": expression} if expression else {})


def _file(source: SourceParams, url: str) -> Iterator[dict[str, Any]]:
    columns = wanted_columns(source.kind, source.columns)
    records = records_of(f"source {source.name!r}", url, source.limit)
    require_columns(f"source {source.name!r}", url, records, columns)
    nulls = dict.fromkeys(column_names(records))
    for record in ({**nulls, **r} for r in records):
        if fault := fault_of(source.kind, record, columns):
            told = {"fault": fault, "question": printable(record[columns["question"]])}
            yield row(source, "", "", source.language, told)
            continue
        answer, added = gold(source.kind, record, columns, source.name)
        if source.answer_after:
            before, mark, after = answer.rpartition(source.answer_after)
            answer = after.strip() if mark else before
        language = str(record.get(columns.get("language", ""), source.language))
        question = str(record[columns["question"]]) + added
        yield row(source, question, answer, language, _solution(source, record, columns))


def _solution(source: SourceParams, record: dict[str, Any], columns: dict[str, str]) -> dict[str, Any]:
    """The reference solution of a held-out record that is graded by less than that; training text must not share it."""
    theirs = columns.get("solution", columns["answer"] if source.answer_after else "")
    held_out = source.split != "train" and source.kind != "code"
    return {"solution": str(record[theirs])} if held_out and record.get(theirs) else {}


def row(source: SourceParams, question: str, answer: str, language: str, metadata: dict[str, Any]) -> dict[str, Any]:
    """One row of PROBLEMS; its id is the hash of the question."""
    return {
        "problem_id": problem_id(question),
        "question": question,
        "answer": answer,
        "kind": metadata.pop("kind", source.kind),
        "category": metadata.pop("category", source.category),
        "language": language,
        "split": source.split,
        "source": source.name if not source.url else f"{source.name}: {source.url}",
        "licence": source.licence,
        "metadata": json.dumps(metadata, ensure_ascii=False, sort_keys=True),
    }


PROBLEMS = Step("problems", "2", "reduce", TABLES["problems"], problems)
PROBLEM_DROPS = Step("problem_drops", "2", "reduce", TABLES["drops"], problem_drops)
