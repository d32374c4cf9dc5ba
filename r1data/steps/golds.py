"""What a problem holds to be right, as the text that its kind's verifier reads; and what is added to its question.

math: the answer. choice: JSON with letter and options. logic: JSON with the task and entry of reasoning-gym. code: JSON
test set (`r1data.sandbox.cases.TestSet`), given whole in a column `tests` or in columns as HumanEval has them.
"""

import ast
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from r1data.digest import printable
from r1data.errors import RecipeError

Record = Mapping[str, Any]
LETTERS = "ABCDEFGHIJ"
COLUMNS = {
    "math": ("answer",),
    "judged": ("answer",),
    "general": ("answer",),
    "choice": ("answer", "options"),
    "code": ("tests",),
}
HUMANEVAL = ("prelude", "asserts", "function", "solution")


def wanted_columns(kind: str, columns: Mapping[str, str]) -> dict[str, str]:
    """Our columns and the file's, for a kind: named ones as named, the others under our own name."""
    ours = HUMANEVAL if kind == "code" and "asserts" in columns else COLUMNS[kind]
    return {"question": "question", **{c: c for c in ours}, **columns}


def fault_of(kind: str, record: Record, columns: Mapping[str, str]) -> str:
    """Why a file's record can be no problem: a code for the drops; empty where nothing is wrong."""
    question = record[columns["question"]]
    if question is None or not str(question).strip():
        return "no_question"
    needed = () if kind == "general" else HUMANEVAL if kind == "code" and "asserts" in columns else COLUMNS[kind]
    if any(record[columns[c]] is None for c in needed):
        return "no_gold"
    texts = (record.get(theirs) for theirs in columns.values())
    return "lone_surrogate" if any(printable(t) != str(t) for t in texts) else ""


def gold(kind: str, record: Record, columns: Mapping[str, str], source: str) -> tuple[str, str]:
    """(the gold text, what follows the question) of a file's record; raises `RecipeError` naming source and fault."""
    if kind == "choice":
        return _choice(record[columns["answer"]], record[columns["options"]], source)
    if kind == "code":
        if "asserts" in columns:
            return _humaneval(*(str(record[columns[c]]) for c in HUMANEVAL)), ""
        tests = record[columns["tests"]]
        return tests if isinstance(tests, str) else json.dumps(_told(tests), ensure_ascii=False), ""
    answer = record[columns["answer"]]
    return "" if answer is None else str(answer), ""


def _told(tests: Mapping[str, Any]) -> dict[str, Any]:
    """Without the nulls that a table puts where one record lacks what another has."""
    return {k: v for k, v in tests.items() if v is not None}


def logic_gold(task: str, item: Mapping[str, Any]) -> str:
    """The gold text of a reasoning-gym item that its own scorer judges; raises `ValueError` if no text can hold it.

    Entries are Python literals, not JSON: scorers look into tuples and dictionaries with numbers as keys.
    """
    entry = _python({k: item[k] for k in ("question", "answer", "metadata")})
    if ast.literal_eval(repr(entry)) != entry:
        raise ValueError("the item is no plain data")
    return json.dumps({"task": task, "entry": repr(entry)}, ensure_ascii=False)


def _python(value: Any) -> Any:
    """Without numpy's scalars, which are not written as literals."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {_python(k): _python(v) for k, v in value.items()}
    return type(value)(map(_python, value)) if type(value) in (list, tuple, set) else value


def _choice(answer: Any, options: Any, source: str) -> tuple[str, str]:
    """Options as a list or by letter; the answer as letter, number from 0, or text."""
    by_letter = dict(options) if isinstance(options, Mapping) else dict(zip(LETTERS, options, strict=False))
    by_letter = {str(k).upper(): str(v) for k, v in by_letter.items() if v is not None}
    letter = LETTERS[answer] if isinstance(answer, int) and 0 <= answer < len(by_letter) else str(answer).strip()
    same = [k for k, v in by_letter.items() if v == letter]
    letter = letter.upper() if letter.upper() in by_letter else same[0] if len(same) == 1 else letter
    if letter not in by_letter:
        told = f"source {source!r}: the answer {answer!r} is none of the options {by_letter}"
        raise RecipeError(told, "give a letter, a number from 0, or an option's text")
    listed = "".join(f"\n{k}. {v}" for k, v in by_letter.items())
    return json.dumps({"answer": letter, "options": by_letter}, ensure_ascii=False), listed


def _humaneval(prelude: str, asserts: str, function: str, solution: str) -> str:
    """The prompt's helpers for the tests, its tests with the call of `check`, its solution as a whole program."""
    tests = {
        "asserts": f"{asserts}\ncheck({function})\n",
        "functions": [function],
        "prelude": f"{prelude}\n    pass\n",
        "solution": prelude + solution,
    }
    return json.dumps(tests, ensure_ascii=False)
