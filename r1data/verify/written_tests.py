"""Tests that a language model writes for programming problems, kept only if they tell right from wrong (paper B.3.2).

It writes a generator of inputs, which runs in the sandbox. An input is kept when all programs known to be right print
the same for it and at least one known to be wrong does not. What is dropped is in `test_drops`, with the reason.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from r1data.digest import row_id
from r1data.errors import CheckFailed
from r1data.params import Params
from r1data.rewards.program import program_of
from r1data.sandbox.cases import TestSet, read_tests, same_output
from r1data.step import Step
from r1data.verify.programs import sandbox
from schemas import TABLES

MOST_INPUTS = 64
LONGEST_INPUT = 1 << 16


class WrittenTestsParams(Params):
    """Which model writes generators, how it is asked, and how many for each problem."""

    model: str
    template: str
    temperature: float
    max_tokens: int
    generators: int


@dataclass(frozen=True)
class Written:
    """One written input: of which problem and generator, what right programs print for it, or why it was dropped."""

    problem_id: str
    generator_id: str
    stdin: str
    expected: str
    reason: str


def generator_questions(*, params: WrittenTestsParams, problems: pl.DataFrame) -> list[tuple[str, str]]:
    """(problem_id, prompt) of every programming problem with programs known to be right and wrong."""
    rows = problems.sort("problem_id").select("problem_id", "question", "kind", "answer").iter_rows()
    return [(p, params.template.replace("{question}", q)) for p, q, kind, gold in rows if _writable(kind, gold)]


def with_written_tests(*, params: WrittenTestsParams, problems: pl.DataFrame, generators: pl.DataFrame) -> pl.DataFrame:
    """PROBLEMS, the test sets longer by the tests that were kept."""
    kept: dict[str, list[tuple[str, str]]] = {}
    for test in written(problems, generators):
        if not test.reason:
            kept.setdefault(test.problem_id, []).append((test.stdin, test.expected))
    longer = {p: _longer(gold, kept[p]) for p, gold in problems.select("problem_id", "answer").iter_rows() if p in kept}
    answers = [longer.get(p, gold) for p, gold in problems.select("problem_id", "answer").iter_rows()]
    return problems.with_columns(answer=pl.Series(answers, dtype=pl.String))


def written_test_drops(*, params: WrittenTestsParams, problems: pl.DataFrame, generators: pl.DataFrame) -> pl.DataFrame:
    """DROPS: generators without inputs, and inputs that do not tell right from wrong."""
    rows = [
        (row_id("written test", t.generator_id, t.stdin), t.problem_id, "written_tests", t.reason, "", t.stdin[:160])
        for t in written(problems, generators)
        if t.reason
    ]
    unique = {r[0]: r for r in rows}
    return pl.DataFrame(list(unique.values()), schema={f.name: pl.String for f in TABLES["drops"].schema}, orient="row")


def written(problems: pl.DataFrame, generators: pl.DataFrame) -> Iterator[Written]:
    """Every input of every generator with what became of it; the same input of a problem once."""
    sets = {p: read_tests(gold) for p, kind, gold in _columns(problems) if gold and _writable(kind, gold)}
    seen: set[tuple[str, str]] = set()
    for row in generators.sort("candidate_id").to_dicts():
        problem, author = row["problem_id"], row["candidate_id"]
        inputs = _inputs(row["completion"], sets[problem])
        if isinstance(inputs, str):
            yield Written(problem, author, "", "", inputs)
            continue
        fresh = [i for i in dict.fromkeys(inputs) if (problem, i) not in seen]
        seen |= {(problem, i) for i in fresh}
        for stdin, (expected, reason) in zip(fresh, _judged(fresh, sets[problem]), strict=True):
            yield Written(problem, author, stdin, expected, reason)


def _inputs(completion: str, tests: TestSet) -> list[str] | str:
    """What a generator prints, a JSON list of texts; or why it is of no use."""
    program, _ = program_of(completion)
    if program is None:
        return "no_generator"
    (out,) = sandbox().outputs([(program, "")], tests.limits)
    if out is None:
        return "generator_failed"
    try:
        inputs = json.loads(out)
    except (ValueError, RecursionError):
        return "generator_printed_no_list"
    if not isinstance(inputs, list) or not inputs or not all(isinstance(i, str) for i in inputs):
        return "generator_printed_no_list"
    return [i for i in inputs if len(i) <= LONGEST_INPUT][:MOST_INPUTS] or "inputs_too_long"


def _judged(inputs: list[str], tests: TestSet) -> list[tuple[str, str]]:
    """(expected output, "" or why the input is dropped) of each input: first by the right programs, then the wrong."""
    right = [p for p in (tests.solution, *tests.right) if p is not None]
    printed = sandbox().outputs([(p, i) for i in inputs for p in right], tests.limits)
    by_input = [printed[n * len(right) : (n + 1) * len(right)] for n in range(len(inputs))]
    expected = [_agreed(outs) for outs in by_input]
    sound = [n for n, (_, reason) in enumerate(expected) if not reason]
    wrong = sandbox().outputs([(p, inputs[n]) for n in sound for p in tests.wrong], tests.limits)
    for place, n in enumerate(sound):
        outs = wrong[place * len(tests.wrong) : (place + 1) * len(tests.wrong)]
        if all(out is not None and same_output(out, expected[n][0]) for out in outs):
            expected[n] = (expected[n][0], "no_wrong_program_fails")
    return expected


def _agreed(outs: list[str | None]) -> tuple[str, str]:
    first = outs[0]
    if first is None or None in outs:
        return "", "a_right_program_fails"
    if not all(out is not None and same_output(out, first) for out in outs):
        return "", "right_programs_differ"
    return first, ""


def _longer(gold: str, tests: list[tuple[str, str]]) -> str:
    told = json.loads(gold)
    return json.dumps({**told, "stdio": [*told.get("stdio", []), *tests]}, ensure_ascii=False)


def _writable(kind: str, gold: str | None) -> bool:
    """Whether tests can be written: a problem on standard input with programs known to be right and wrong."""
    if kind != "code" or not gold:
        return False
    try:
        tests = read_tests(gold)
    except CheckFailed:
        return False
    return not (tests.calls or tests.asserts) and tests.solution is not None and bool(tests.wrong)


def _columns(problems: pl.DataFrame) -> Iterator[tuple[str, str, str | None]]:
    yield from problems.select("problem_id", "kind", "answer").iter_rows()


WRITE_TESTS = Step("write_tests", "1", "call", TABLES["candidates"])
WITH_TESTS = Step("with_written_tests", "1", "reduce", TABLES["problems"], with_written_tests)
TEST_DROPS = Step("written_test_drops", "1", "reduce", TABLES["drops"], written_test_drops)
