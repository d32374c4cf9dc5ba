"""Cold-start candidates rewritten by a teacher (paper B.3.2): what it is asked, and the examples made of its answers.

It translates those chains alone that are not wholly in the question's language, by their measures. Its answers are
candidates like any other: verified, measured and sent through the gates again; the original is the parent row.
"""

import re

import polars as pl

from r1data.params import Params
from r1data.rewards.format import thought
from r1data.step import Step
from r1data.steps.examples import example, examples_frame, kept
from r1data.steps.gates import EVIDENCE
from schemas import TABLES

Asked = list[tuple[str, str, dict[str, str]]]


class RefineParams(Params):
    """Which model rewrites, how it is asked, and how it answers; where it is served changes no answer."""

    model: str
    template: str
    translate: str
    temperature: float
    max_tokens: int


def refinement(question: str, completion: str, params: RefineParams, *, mixed: bool = False) -> str:
    """The teacher's prompt for one candidate; a mixed one is to be translated."""
    parts = {"{question}": question, "{thought}": thought(completion) or completion}
    template = params.translate if mixed else params.template
    return re.sub(r"\{question\}|\{thought\}", lambda m: parts[m.group()], template)


def refinements(
    *,
    params: RefineParams,
    candidates: pl.DataFrame,
    drops: pl.DataFrame,
    measures: pl.DataFrame,
    problems: pl.DataFrame,
    **others: pl.DataFrame,
) -> Asked:
    """(problem_id, teacher's prompt, candidate) of every candidate that passed the gates, by candidate_id."""
    questions = dict(problems.select("problem_id", "question").iter_rows())
    mixed = set(measures.filter(pl.col("language_consistency") < 1)["candidate_id"])

    def prompt(row: dict[str, str]) -> str:
        return refinement(questions[row["problem_id"]], row["completion"], params, mixed=row["candidate_id"] in mixed)

    return [(row["problem_id"], prompt(row), row) for row in kept(candidates, drops, problems, **others)]


def refined_examples(
    *,
    params: RefineParams,
    candidates: pl.DataFrame,
    drops: pl.DataFrame,
    measures: pl.DataFrame,
    problems: pl.DataFrame,
    refined: pl.DataFrame,
    refined_drops: pl.DataFrame,
    refined_contaminated: pl.DataFrame | None = None,
    **others: pl.DataFrame,
) -> pl.DataFrame:
    """SFT_EXAMPLES: the refinements that passed the gates, asked with the prompt of the candidate they came from."""
    gone = [refined_drops, *([] if refined_contaminated is None else [refined_contaminated])]
    left = pl.concat([table["row_id"] for table in gone])
    passed = refined.filter(~pl.col("candidate_id").is_in(left.to_list()))
    answers = dict(passed.select("prompt", "completion").iter_rows())
    asked = refinements(
        params=params, candidates=candidates, drops=drops, measures=measures, problems=problems, **others
    )
    source = f"zero, refined by {params.model}"
    firsts = _firsts(asked)
    return examples_frame(
        [example(row, answers[prompt], source) for prompt, row in firsts.items() if prompt in answers]
    )


def repeated(
    *,
    params: RefineParams,
    candidates: pl.DataFrame,
    drops: pl.DataFrame,
    measures: pl.DataFrame,
    problems: pl.DataFrame,
    **others: pl.DataFrame,
) -> pl.DataFrame:
    """DROPS: candidates whose thought is that of another one (value: its id), so that both had one refinement."""
    asked = refinements(
        params=params, candidates=candidates, drops=drops, measures=measures, problems=problems, **others
    )
    firsts = {prompt: row["candidate_id"] for prompt, row in _firsts(asked).items()}
    gone = [
        (row["candidate_id"], problem_id, "duplicate", "same_thought", firsts[prompt], row["completion"][:EVIDENCE])
        for problem_id, prompt, row in asked
        if firsts[prompt] != row["candidate_id"]
    ]
    return pl.DataFrame(gone, schema={f.name: pl.String for f in TABLES["drops"].schema}, orient="row")


def _firsts(asked: Asked) -> dict[str, dict[str, str]]:
    """The first candidate of each prompt: one question is asked and answered once."""
    found: dict[str, dict[str, str]] = {}
    for _, prompt, row in asked:
        found.setdefault(prompt, row)
    return found


REFINE = Step("refine", "2", "call", TABLES["candidates"])
REFINED = Step("refined_examples", "3", "reduce", TABLES["sft_examples"], refined_examples)
REPEATED = Step("refined_repeats", "1", "reduce", TABLES["drops"], repeated)
