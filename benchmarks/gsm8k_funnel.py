"""Real input through every gate: 3,600 labelled solutions of four models to 900 GSM8K problems, and what leaves.

python -m benchmarks.gsm8k_funnel [OUT]     OUT: a folder for the lake, kept for `r1 funnel gsm8k/sft_mix --lake OUT`

The nodes are those of recipe qwen-7b's second SFT set, with its gates; only its sources are others, and the file's
solutions stand where a model would be asked. Without the file in ../shared/data nothing is run, and that is said.
"""

import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import polars as pl

from benchmarks.texts import DATA
from r1data.checks.bands import check_bands
from r1data.checks.expectations import validate
from r1data.cleaning_params import DecontaminationParams, DedupParams
from r1data.cli.printing import print_record, print_table
from r1data.digest import digest_json, row_id
from r1data.gate_params import OF_ONE_TEXT, GateParams
from r1data.manifest import Manifest, Rows
from r1data.recipe import Recipe, SourceParams, load_recipe
from r1data.refs import resolve
from r1data.report.funnel import COLUMNS, dropped, funnel
from r1data.run import DROPPED
from r1data.runner import Runner, frame_of
from r1data.stages import graph
from r1data.step import Node
from r1data.steps.decontaminate import contaminated
from r1data.steps.gates import missed
from r1data.steps.near_duplicates import duplicates, signatures
from r1data.steps.problems import problem_id
from r1data.steps.thresholds import check_gates
from r1data.storage import Lake
from r1data.verify.canaries import check_sources
from schemas import TABLES

SOLUTIONS, TRAIN = DATA / "gsm8k_model_solutions.jsonl", DATA / "gsm8k_train.jsonl"
MODELS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
NAME, PREFIX, EXAMPLES = "gsm8k", "sft_mix", 10
MARK = "A:"
EMPTY = {f.name: "" for f in TABLES["problems"].schema} | {"kind": "math"}


def recipe(limit: int | None = None) -> Recipe:
    """qwen-7b with GSM8K's problems to train on (at most `limit`), AIME 2024 and Minerva as benchmarks."""
    asked = SourceParams(
        name="GSM8K test",
        url=str(SOLUTIONS),
        columns={"question": "question", "answer": "ground_truth"},
        answer_after=MARK,
        limit=limit,
        category="math",
        licence="MIT",
    )
    held: dict[str, Any] = {"split": "benchmark", "category": "benchmark", "licence": "MIT"}
    aime = SourceParams(name="AIME", url=str(DATA / "aime24_test.jsonl"), columns={"question": "problem"}, **held)
    columns = {"question": "problem", "answer": "solution"}
    minerva = SourceParams(name="Minerva", url=str(DATA / "minerva_math_test.jsonl"), columns=columns, **held)
    shipped = load_recipe("qwen-7b")
    sampling = shipped.sft_mix.sampling.model_copy(
        update={"samples": len(MODELS), "stop_at": None, "max_samples": None}
    )
    part = shipped.sft_mix.model_copy(update={"sampling": sampling})
    return shipped.model_copy(update={"name": NAME, "sources": (asked, aime, minerva), PREFIX: part})


def nodes(of: Recipe) -> list[Node]:
    """Problems and everything from candidates to examples; candidates need no checkpoint here."""
    wanted = ("problems", f"{PREFIX}/")
    found = [n for n in graph(of) if n.name.startswith(wanted) and not n.name.startswith(f"{PREFIX}/general")]
    return [replace(n, inputs={"problems": "problems"}) if n.step.kind == "call" else n for n in found]


def wrapped(solution: str) -> str:
    """A solution in the pattern that the gates ask for; not a character of it is lost.

    The models wrote steps and, as the last line, `A: 18`. The steps become the thought, that line the summary, and
    its answer gets tags. A solution without that line gets no answer: only the steps are marked as a thought.
    """
    steps, mark, answer = solution.rpartition(f"\n{MARK}")
    if not mark:
        return f"<think>{solution}</think>"
    return f"<think>{steps}</think>\n{MARK} <answer>{answer.strip()}</answer>"


def solutions() -> Iterator[dict[str, Any]]:
    """question, model, sample_index, solution, is_correct of every solution in the file, as published."""
    for line in SOLUTIONS.read_text(encoding="utf-8").splitlines():
        told = json.loads(line)
        for i, model in enumerate(MODELS):
            yield {"question": told["question"], "model": model, "sample_index": i, **told[model]}


def labelled() -> pl.DataFrame:
    """candidate_id, problem_id, model, sample_index, completion, is_correct (the file's label), a row a solution."""
    rows = []
    for told in solutions():
        problem, text = problem_id(told["question"]), wrapped(told["solution"])
        made = {"candidate_id": row_id(problem, told["model"], text), "problem_id": problem, "completion": text}
        rows.append(made | {name: told[name] for name in ("model", "sample_index", "is_correct")})
    return pl.DataFrame(rows)


class Services:
    """The file's solutions instead of a model's answers; the product's checks and bands."""

    def __init__(self, lake: Lake, of: Recipe) -> None:
        self.lake, self.recipe = lake, of

    def call(self, node: Node, key: str, inputs: Mapping[str, Manifest]) -> Iterator[pl.DataFrame]:
        """CANDIDATES of the problems to train on. No tokenizer is known: tokens are words between blanks."""
        problems = frame_of(self.lake, inputs["problems"]).filter(pl.col("split") == "train")
        template = self.recipe.chat_template
        prompts = [template.replace("{question}", question) for question in problems["question"]]
        asked = problems.select("problem_id", prompt=pl.Series(prompts, dtype=pl.String))
        rows = labelled().join(asked, on="problem_id").drop("is_correct")
        told = rows.with_columns(
            seed=0,
            prompt_tokens=pl.col("prompt").str.split(" ").list.len(),
            completion_tokens=pl.col("completion").str.split(" ").list.len(),
            finish_reason=pl.lit("stop"),
            model_digest="model",
            sampling_digest=pl.lit("as published"),
            template_digest=pl.lit(digest_json(template)[:16]),
            logprobs=None,
            latency_ms=0.0,
        )
        columns = pl.DataFrame(TABLES["candidates"].empty()).schema
        yield told.select(pl.col(name).cast(kind) for name, kind in columns.items())

    def train(self, node: Node, key: str, inputs: Mapping[str, Manifest]) -> None:
        """Not here."""

    def check(self, node: Node, rows: Rows) -> tuple[dict[str, object], ...]:
        """The table's suite."""
        return validate(rows)

    def admit(self, node: Node, manifest: Manifest) -> None:
        """The recipe's bands."""
        if node.name.rpartition("/")[2] in DROPPED and node.name.startswith(f"{PREFIX}/"):
            check_bands(self.lake, manifest, self.recipe.sft_mix.gate.bands)


def run(lake: Lake, of: Recipe) -> None:
    """Check verifier and gates on known cases as a run does, then every node in order."""
    check_sources(of.sources)
    check_gates(of)
    services = Services(lake, of)
    runner = Runner(lake, of.name, services, report=lambda line: None, admit=services.admit)
    for node in nodes(of):
        runner.run(node)


def table(lake: Lake, name: str) -> pl.DataFrame:
    """The rows of a node."""
    return frame_of(lake, resolve(lake, f"{NAME}/{name}"))


def compared(lake: Lake) -> pl.DataFrame:
    """The candidates with the file's label beside the verdict."""
    verdicts = table(lake, f"{PREFIX}/verdicts").select("candidate_id", "verdict", "reason", "answer")
    golds = table(lake, "problems").select("problem_id", "question", gold="answer")
    return labelled().join(verdicts, on="candidate_id").join(golds, on="problem_id")


def agrees() -> pl.Expr:
    """Whether a verdict says what the label says; undecided says nothing, and so disagrees."""
    return pl.col("verdict") == pl.when("is_correct").then(pl.lit("correct")).otherwise(pl.lit("wrong"))


def unjudged(lake: Lake, gate: GateParams) -> Counter[tuple[str, str]]:
    """(gate, reason) that candidates would miss first, were every verdict correct: most that loop are wrong as well."""
    measures = table(lake, f"{PREFIX}/measures")
    found = (missed(gate, row | {"verdict": "correct", "reason": ""}) for row in measures.iter_rows(named=True))
    return Counter((miss[0], miss[1]) for miss in found if miss)


def repeated_questions(problems: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, str]]:
    """(near-duplicates, what shares ten words, question by id) of the problems' questions with GSM8K's own train set.

    The product's steps, asked otherwise: the train set's questions stand as the benchmark that text must not repeat.
    """
    mine = problems.filter(pl.col("split") == "train")
    lines = TRAIN.read_text(encoding="utf-8").splitlines()
    texts = {problem_id(q): q for q in (json.loads(line)["question"] for line in lines)}
    other = pl.DataFrame([{**EMPTY, "problem_id": i, "question": q, "split": "benchmark"} for i, q in texts.items()])
    shared = contaminated(params=DecontaminationParams(), problems=pl.concat([mine, other.select(mine.columns)]))
    # the train set's rows pass as the better ones, so that what leaves is a question of ours
    ours = mine.select(candidate_id="problem_id", completion="question", share=0.5)
    theirs = other.select(candidate_id="problem_id", completion="question", share=1.0)
    both = pl.concat([ours, theirs]).with_columns(problem_id=pl.lit(""), completion_tokens=pl.lit(0, pl.Int64))
    about, none = both.select("candidate_id", "share"), pl.DataFrame(TABLES["drops"].empty())
    signed = signatures(params=DedupParams(), candidates=both.drop("share"), verdicts=about, drops=none)
    near = duplicates(params=DedupParams(), signatures=signed).filter(pl.col("row_id").is_in(mine["problem_id"]))
    return near, shared, texts | dict(mine.select("problem_id", "question").iter_rows())


def tell(lake: Lake, of: Recipe) -> None:
    """Print the verdicts against the labels, the funnel with examples, the gates alone, the repeated questions."""
    found = compared(lake)
    rows = [(m, *_counts(found.filter(pl.col("model") == m))) for m in MODELS]
    print_table(
        ("model", "solutions", "labelled correct", "verdict correct", "undecided", "agree"),
        [*rows, ("all", *_counts(found))],
    )
    for row in found.filter(~agrees()).iter_rows(named=True):
        print_record(f"{row['model']}: {row['verdict']} {row['reason']}, label {row['is_correct']}", row)
    ref = f"{NAME}/{PREFIX}/drops"
    print(f"\n{ref}:")
    print_table(COLUMNS, funnel(lake, ref).cells)
    print("\nwere every verdict correct:")
    told = unjudged(lake, of.sft_mix.gate.thresholds)
    print_table(("gate", "rows"), [(g, f"{sum(n for (f, _), n in told.items() if f == g):,}") for g in OF_ONE_TEXT])
    formulas = table(lake, f"{PREFIX}/measures").filter(pl.col("math_chars") > 0)["math_chars"]
    print(f"prose taken for a formula: {formulas.sum():,} characters of {len(formulas)} solutions")
    for (gate, reason), examples in dropped(lake, ref, EXAMPLES).items():
        for example in examples:
            print_record(f"{gate}: {reason} {example.value}".rstrip(), {"evidence": example.evidence})
    tell_repeated(lake)


def tell_repeated(lake: Lake) -> None:
    """Print the questions that GSM8K's train set has too."""
    if not TRAIN.is_file():
        print(f"\nquestions of the train set: left out, no {TRAIN.name}")
        return
    near, shared, questions = repeated_questions(table(lake, "problems"))
    print(f"\nquestions that GSM8K's train set has too: {near.height} near-duplicates, {shared.height} share ten words")
    for row in pl.concat([near.head(EXAMPLES), shared.head(EXAMPLES)]).iter_rows(named=True):
        shown = {"question": questions[row["row_id"]], "train has": questions[row["value"].split()[0]]}
        print_record(f"{row['gate']}: {row['reason']} {row['evidence']!r}", shown)


def _counts(found: pl.DataFrame) -> tuple[str, ...]:
    correct, undecided = (found.filter(pl.col("verdict") == v).height for v in ("correct", "undecided"))
    numbers = (found.height, int(found["is_correct"].sum()), correct, undecided, found.filter(agrees()).height)
    return tuple(f"{n:,}" for n in numbers)


def main(arguments: list[str]) -> None:
    """Run in a scratch lake, or in the folder named, and print."""
    if not SOLUTIONS.is_file():
        print(f"left out: no {SOLUTIONS.name} in ../shared/data")
        return
    with tempfile.TemporaryDirectory(prefix="gsm8k-funnel-") as scratch:
        lake, of = Lake.open(arguments[0] if arguments else scratch), recipe()
        run(lake, of)
        tell(lake, of)


if __name__ == "__main__":
    main(sys.argv[1:])
