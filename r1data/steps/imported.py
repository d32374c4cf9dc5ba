"""Non-reasoning examples from files (paper B.3.3): what is taken, what is not, and the thoughts of a teacher.

As imported, `prompt` is the file's own text; the recipe's chat template goes around it when the examples are finished.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import polars as pl

from r1data.data_params import Category, NonReasoningParams
from r1data.digest import row_id
from r1data.errors import RecipeError
from r1data.params import Params
from r1data.step import Step
from r1data.steps.examples import examples_frame
from r1data.steps.files import column_names, records_of, require_columns, texts_of
from r1data.steps.problems import EVIDENCE, problem_id
from schemas import TABLES

REQUIRED = ("prompt", "response")
OPTIONAL = ("category", "licence", "language")
CATEGORIES: tuple[str, ...] = get_args(Category)
_TAG = re.compile(r"</?(?:think|answer)>")
_ALONE = re.compile(r"<think>(.*)</think>", re.DOTALL)
_EDGES = re.compile(r"[\W_]+")  # emoji and invisible characters too
_GREETING = re.compile(
    r"(?:(?:hello|hi|hey|greetings|good (?:day|morning|afternoon|evening))(?: (?:there|again|all|everyone))?(?: |$)"
    r"|(?:你好|您好|大家好|嗨|早上好|下午好|晚上好|早安|晚安)[啊呀]? ?)+"
)


class ImportedParams(Params):
    """The recipe's [[non_reasoning]], in order."""

    sources: tuple[NonReasoningParams, ...]


class ThinkParams(Params):
    """Which model adds thoughts to which categories, and how it is asked."""

    model: str
    template: str
    temperature: float
    max_tokens: int
    categories: tuple[str, ...]


class FinishParams(Params):
    """The chat template, and the thoughts that were asked for, if any were."""

    template: str
    think: ThinkParams | None = None


def imported(*, params: ImportedParams, problems: pl.DataFrame) -> pl.DataFrame:
    """SFT_EXAMPLES, without thoughts, of the rows that can be used; `RecipeError` if a file has no rows."""
    rows, _ = _split(params, problems)
    return examples_frame(rows)


def import_drops(*, params: ImportedParams, problems: pl.DataFrame) -> pl.DataFrame:
    """DROPS of the rows that cannot: a value that is no text; without a prompt, response, licence or known category;
    with R1's tags; held out for evaluation; the same again."""
    _, gone = _split(params, problems)
    return drops_frame(gone)


def is_greeting(prompt: str) -> bool:
    """Whether a prompt says hello and nothing else: such a prompt never gets a thought."""
    words = _EDGES.sub(" ", unicodedata.normalize("NFKC", prompt)).strip().lower()
    return _GREETING.fullmatch(words) is not None


def thought_questions(*, params: ThinkParams, examples: pl.DataFrame) -> list[tuple[str, str, str]]:
    """(problem_id, teacher's prompt, example_id) of every example that is to get a thought, by example_id."""
    rows = examples.filter(pl.col("category").is_in(params.categories)).sort("example_id")
    return [
        (row["problem_id"], _asked(params, row), row["example_id"])
        for row in rows.iter_rows(named=True)
        if not is_greeting(row["prompt"])
    ]


def finished(*, params: FinishParams, examples: pl.DataFrame, thoughts: pl.DataFrame | None = None) -> pl.DataFrame:
    """SFT_EXAMPLES as they are trained on: in the chat template, with the thoughts that were asked for."""
    chains = _chains(params, examples, thoughts)
    rows = [_finished(params, row, chains) for row in examples.sort("example_id").iter_rows(named=True)]
    return examples_frame([row for row in rows if row])


def thought_drops(*, params: FinishParams, examples: pl.DataFrame, thoughts: pl.DataFrame) -> pl.DataFrame:
    """DROPS: examples whose teacher gave no thought that can be read."""
    missing = {name for name, chain in _chains(params, examples, thoughts).items() if chain is None}
    return drops_frame(
        [
            (row["example_id"], row["problem_id"], "thought", "unreadable", row["category"], row["prompt"][:EVIDENCE])
            for row in examples.filter(pl.col("example_id").is_in(missing)).iter_rows(named=True)
        ]
    )


def drops_frame(rows: list[tuple[str, ...]]) -> pl.DataFrame:
    """DROPS as a frame."""
    return pl.DataFrame(rows, schema={f.name: pl.String for f in TABLES["drops"].schema}, orient="row")


def _split(params: ImportedParams, problems: pl.DataFrame) -> tuple[list[dict[str, object]], list[tuple[str, ...]]]:
    """(rows of SFT_EXAMPLES, rows of DROPS) of all files."""
    held_out = dict(problems.filter(pl.col("split") != "train").select("problem_id", "split").iter_rows())
    kept: dict[str, dict[str, object]] = {}
    gone: list[tuple[str, ...]] = []
    for number, source in enumerate(params.sources):
        for i, (row, unreadable) in enumerate(_rows(source)):
            reason, value = unreadable if any(unreadable) else _fault(row, kept, held_out)
            if reason:
                name = row_id("dropped import", number, source.name, source.url, i, row["prompt"])
                gone.append((name, problem_id(row["prompt"]), "import", reason, value, row["prompt"][:EVIDENCE]))
            else:
                kept[_content(row)] = _example(source, row)
    return list(kept.values()), gone


def _fault(row: Mapping[str, str], kept: Mapping[str, object], held_out: Mapping[str, str]) -> tuple[str, str]:
    """(reason, value) of the first thing that is wrong with a row; two empty texts if nothing is."""
    split = held_out.get(problem_id(row["prompt"]), "")
    tests = (
        (not row["prompt"].strip(), "no_prompt", ""),
        (not row["response"].strip(), "no_response", ""),
        (row["category"] not in CATEGORIES, "unknown_category", row["category"]),
        (not row["licence"].strip(), "no_licence", ""),
        (_TAG.search(row["response"]) is not None, "tags_in_response", ""),
        (bool(split), f"in_{split}", ""),
        (_content(row) in kept, "duplicate", ""),
    )
    return next(((reason, value) for hit, reason, value in tests if hit), ("", ""))


def _content(row: Mapping[str, str]) -> str:
    return row_id("import", *(" ".join(row[c].split()) for c in REQUIRED))


def _rows(source: NonReasoningParams) -> Iterator[tuple[dict[str, str], tuple[str, str]]]:
    """Every record in our columns, and (reason, column) of a value in it that is no text."""
    about = f"non_reasoning {source.name!r}"
    records = records_of(about, source.url, source.limit)
    theirs = {c: source.columns.get(c, c) for c in (*REQUIRED, *OPTIONAL)}
    needed = {c: theirs[c] for c in (*REQUIRED, *(c for c in OPTIONAL if c in source.columns))}
    require_columns(about, source.url, records, needed)
    if source.category is None and theirs["category"] not in column_names(records):
        raise RecipeError(f"{about}: no category", f"give it one of {', '.join(CATEGORIES)}, or columns.category")
    for record in records:
        row, unreadable = texts_of(record, theirs)
        row["category"] = _category(row["category"], source)
        row |= {c: row[c] or told for c, told in (("licence", source.licence), ("language", source.language))}
        yield row, unreadable


def _category(told: str, source: NonReasoningParams) -> str:
    """Ours for theirs: as the recipe maps it, else by its own name however it is spelt."""
    if not told.strip():
        return source.category or ""
    return source.categories.get(told) or "_".join(re.findall(r"[a-z]+", told.lower())) or told


def _example(source: NonReasoningParams, row: Mapping[str, str]) -> dict[str, object]:
    return {
        "example_id": row_id("imported", source.name, row["prompt"], row["response"]),
        "parent_id": "",
        "problem_id": problem_id(row["prompt"]),
        "prompt": row["prompt"],
        "completion": row["response"].strip(),
        "category": row["category"],
        "language": row["language"],
        "chain_of_thought": False,
        "source": f"{source.name}: {source.url}",
        "licence": row["licence"],
    }


def _asked(params: ThinkParams, row: Mapping[str, str]) -> str:
    """The teacher's prompt; nothing that stands in the row is taken for a place in the template."""
    parts = {"{question}": row["prompt"], "{response}": row["completion"]}
    return re.sub(r"\{question\}|\{response\}", lambda m: parts[m.group()], params.template)


def _chains(params: FinishParams, examples: pl.DataFrame, thoughts: pl.DataFrame | None) -> dict[str, str | None]:
    """The thought of every example that was to get one, by example_id; None where none can be read."""
    if params.think is None or thoughts is None:
        return {}
    answers = {p: _chain(c, f) for p, c, f in thoughts.select("prompt", "completion", "finish_reason").iter_rows()}
    asked = thought_questions(params=params.think, examples=examples)
    return {name: answers.get(prompt) for _, prompt, name in asked}


def _chain(completion: str, finish: str) -> str | None:
    """The thought, where the teacher ended by itself and wrote one and nothing else."""
    found = _ALONE.fullmatch(completion.strip())
    chain = found[1].strip() if found else ""
    return chain if chain and finish == "stop" and not _TAG.search(chain) else None


def _finished(params: FinishParams, row: dict[str, Any], chains: Mapping[str, str | None]) -> dict[str, object] | None:
    asked, chain = row["example_id"] in chains, chains.get(row["example_id"])
    if asked and chain is None:
        return None
    completion = f"<think>{chain}</think>{row['completion']}" if chain else row["completion"]
    return {
        **row,
        "example_id": row_id("general", row["example_id"], completion),
        "parent_id": row["example_id"],
        "prompt": params.template.replace("{question}", row["prompt"]),
        "completion": completion,
        "chain_of_thought": bool(chain),
        "source": f"{row['source']}, thought by {params.think.model}" if chain and params.think else row["source"],
    }


IMPORT_EXAMPLES = Step("import_examples", "2", "reduce", TABLES["sft_examples"], imported)
IMPORT_DROPS = Step("import_drops", "2", "reduce", TABLES["drops"], import_drops)
THINK = Step("think", "2", "call", TABLES["candidates"])
FINISH = Step("finish_examples", "2", "reduce", TABLES["sft_examples"], finished)
THOUGHT_DROPS = Step("thought_drops", "2", "reduce", TABLES["drops"], thought_drops)
