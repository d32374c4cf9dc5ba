"""Training text that shares words with a benchmark leaves: 10 words in a row, as the paper has it (v2, D.1).

Benchmarks are the problems of split eval and benchmark: their questions and, where they are text, reference solutions.
A question of fewer words counts where it stands whole, as a text, sentence or line of its own with the same symbols.
Looked at are training problems, candidates that passed the gates (a teacher's refinements too), and examples of files.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from r1data.cleaning_params import DecontaminationParams
from r1data.params import Params
from r1data.step import Step
from schemas import TABLES

if TYPE_CHECKING:
    from r1data.steps.ngrams import Hits, Index

HELD_OUT = ("eval", "benchmark")
EVIDENCE = 160
LEAST_INSIDE = (
    5  # words; a shorter question is looked for as a whole text alone, since prose says such things by chance
)
_OPENS, _CLOSES = r"[\s\"'“”‘’«»「『(（*_#>$\\\[{]*", r"[\s\"'“”‘’«»」』)）*_$\\\]}]*"
_BEFORE = re.compile(rf"(?:^|[\n.?!:;。！？：；…]){_OPENS}$")
_AFTER = re.compile(rf"{_CLOSES}(?:$|\n|[.?!。！？…](?!\w))")
_END = re.compile(r"[.?!。！？…]+$")
_NEAR = 80  # characters around a match that are looked at


class ExamplesParams(DecontaminationParams):
    """And what stands around the question in the prompt of an example."""

    template: str


@dataclass(frozen=True)
class Benchmark:
    """The texts to look for, by problem: `index` has their runs of words, `tiny` the shortest questions, folded."""

    problem_ids: list[str]
    texts: list[str]
    index: "Index"
    tiny: dict[str, str]


def contaminated(*, params: DecontaminationParams, problems: pl.DataFrame) -> pl.DataFrame:
    """DROPS: training problems whose question shares text with a benchmark; value is that benchmark's problem_id."""
    train = problems.filter(pl.col("split") == "train").select("problem_id", "question", row_id="problem_id")
    return _drops(params, train.rename({"question": "text"}), benchmark(problems, params.ngram))


def contaminated_candidates(
    *, params: DecontaminationParams, candidates: pl.DataFrame, drops: pl.DataFrame, problems: pl.DataFrame
) -> pl.DataFrame:
    """DROPS: candidates that passed the gates and whose completion shares text with a benchmark; value as above."""
    passed = candidates.join(drops, left_on="candidate_id", right_on="row_id", how="anti")
    texts = passed.select("problem_id", row_id="candidate_id", text="completion")
    return _drops(params, texts, benchmark(problems, params.ngram))


def contaminated_examples(*, params: ExamplesParams, examples: pl.DataFrame, problems: pl.DataFrame) -> pl.DataFrame:
    """DROPS: SFT_EXAMPLES whose question or completion shares text with a benchmark; value as above.

    An example leaves once: by its question where that shares text, else by its completion.
    """
    before, _, rest = params.template.partition("{question}")
    after = rest.rpartition("{question}")[2]
    question = pl.col("prompt").str.strip_prefix(before).str.strip_suffix(after)
    rows = examples.select("problem_id", "completion", row_id="example_id", question=question)
    held = benchmark(problems, params.ngram)
    asked = _drops(params, rows.select("row_id", "problem_id", text="question"), held)
    rest_of = rows.join(asked, on="row_id", how="anti")
    return pl.concat([asked, _drops(params, rest_of.select("row_id", "problem_id", text="completion"), held)])


def decontaminated_examples(*, params: Params, examples: pl.DataFrame, contaminated: pl.DataFrame) -> pl.DataFrame:
    """SFT_EXAMPLES without those that leave."""
    return examples.join(contaminated, left_on="example_id", right_on="row_id", how="anti")


def decontaminated(*, params: DecontaminationParams, problems: pl.DataFrame, drops: pl.DataFrame) -> pl.DataFrame:
    """PROBLEMS without those that leave."""
    return problems.join(drops, left_on="problem_id", right_on="row_id", how="anti")


def benchmark(problems: pl.DataFrame, ngram: int, **bits: int) -> Benchmark:
    """What the held-out problems give to look for, in the order of their ids."""
    from r1data.steps.ngrams import index

    held = problems.filter(pl.col("split").is_in(HELD_OUT)).sort("problem_id").to_dicts()
    items = [(row["problem_id"], text, asked) for row in held for text, asked in _texts(row) if text]
    texts = [text for _, text, _ in items]
    asked = pl.Series([a for _, _, a in items], dtype=pl.Boolean)
    found = index(pl.Series(texts, dtype=pl.String), asked.to_numpy(), ngram, LEAST_INSIDE, **bits)
    tiny: dict[str, str] = {}
    for i, (problem_id, text, is_question) in enumerate(items):
        if is_question and found.offsets[i + 1] - found.offsets[i] < LEAST_INSIDE and folded(text):
            tiny.setdefault(folded(text), problem_id)
    return Benchmark([problem_id for problem_id, _, _ in items], texts, found, tiny)


def folded(text: str) -> str:
    """A text's words and symbols without case, blanks, invisible characters and the mark at its end."""
    from r1data.steps.words import ALONE, IGNORED, SEPARATOR, fold_table

    table = fold_table()
    codes = [(c, int(table[ord(c)]) if ord(c) < len(table) else SEPARATOR) for c in text]
    symbols = (c if code == SEPARATOR else chr(code & ~ALONE) for c, code in codes if code != IGNORED)
    return _END.sub("", "".join(c for c in symbols if c.isprintable() and not c.isspace()))


def _texts(row: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    """(text, whether it is the question) of a held-out problem: its question and reference solutions."""
    yield row["question"] or "", True
    yield json.loads(row["metadata"] or "{}").get("solution", ""), False
    if row["kind"] == "code":
        yield from ((program, False) for program in _programs(row["answer"] or ""))
    elif row["kind"] not in ("choice", "logic"):
        yield row["answer"] or "", False


def _programs(answer: str) -> list[str]:
    """The programs known to be right of a test set; none where it cannot be read, which its verdicts tell."""
    try:
        tests = json.loads(answer)
    except ValueError:
        return []
    found = [tests.get("solution"), *(tests.get("right") or ())] if isinstance(tests, dict) else []
    return [program for program in found if isinstance(program, str)]


def _drops(params: DecontaminationParams, rows: pl.DataFrame, found: Benchmark) -> pl.DataFrame:
    """DROPS of the rows (row_id, problem_id, text) that share text."""
    from r1data.steps.ngrams import scan

    hits = scan(rows["text"], found.index, params.ngram)
    texts = {i: rows["text"][i] for i in set(hits.rows[:, 0].tolist())}
    why = dict([*_tiny(rows, hits, found), *_found(texts, hits, found, params.ngram)])
    ids = rows.select("row_id", "problem_id").rows()
    gone = [(*ids[i], "contamination", *why[i]) for i in sorted(why)]
    return pl.DataFrame(gone, schema={f.name: pl.String for f in TABLES["drops"].schema}, orient="row")


def _tiny(rows: pl.DataFrame, hits: "Hits", found: Benchmark) -> Iterator[tuple[int, tuple[str, str, str]]]:
    """(position, (reason, value, evidence)) of the texts that are, whole, one of the shortest questions."""
    longest = 2 * max(map(len, found.tiny), default=0) + _NEAR
    for i in (hits.words < LEAST_INSIDE).nonzero()[0].tolist() if found.tiny else ():
        text = rows["text"][i] or ""
        plain = "".join(text.split())
        if len(plain) <= longest and folded(plain) in found.tiny:
            yield i, ("whole_item", found.tiny[folded(plain)], text.strip()[:EVIDENCE])


def _found(
    texts: dict[int, str], hits: "Hits", found: Benchmark, ngram: int
) -> Iterator[tuple[int, tuple[str, str, str]]]:
    """(position, (reason, value, evidence)) of each text with a run of words, or else a whole question, in it."""
    done, encoded = set(), {i: text.encode() for i, text in texts.items()}
    for i, start, end, item, item_start, item_end in hits.rows.tolist():
        if i in done:
            continue
        data, other = encoded[i], found.texts[item].encode()
        shared, whole = data[start:end].decode(), found.index.sizes[item] < ngram
        if whole and folded(shared) != folded(other[item_start:item_end].decode()):
            continue
        # four bytes a character at most: the whole text, decoded for each of its places, would be quadratic
        before = data[max(0, start - 4 * _NEAR) : start].decode(errors="ignore")
        after = data[end : end + 4 * _NEAR].decode(errors="ignore")
        if not whole or (_BEFORE.search(before[-_NEAR:]) and _AFTER.match(after[:_NEAR])):
            done.add(i)
            yield i, ("whole_item" if whole else "ngram", found.problem_ids[item], shared[:EVIDENCE])


CONTAMINATED = Step("contaminated", "1", "reduce", TABLES["drops"], contaminated)
CONTAMINATED_CANDIDATES = Step("contaminated_candidates", "1", "map", TABLES["drops"], contaminated_candidates)
DECONTAMINATED = Step("decontaminated", "1", "reduce", TABLES["problems"], decontaminated)
CONTAMINATED_EXAMPLES = Step("contaminated_examples", "1", "map", TABLES["drops"], contaminated_examples)
DECONTAMINATED_EXAMPLES = Step("decontaminated_examples", "1", "map", TABLES["sft_examples"], decontaminated_examples)
