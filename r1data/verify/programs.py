"""Programs judged by their tests in the sandbox, each distinct (tests, program) once; and what is known besides."""

import atexit
import threading
from collections.abc import Sequence

from r1data.errors import CheckFailed
from r1data.rewards.program import program_of
from r1data.rewards.score import ProgramFacts, RuleVerdict
from r1data.sandbox.cases import Report, TestSet, read_tests
from r1data.sandbox.jail import best_isolation
from r1data.sandbox.pool import Sandbox
from r1data.settings import Settings
from r1data.verify.lint import lints

# failures of the machine or of the data, not of the program
NOT_JUDGED = ("infra_error", "bad_tests")
_LOCK = threading.Lock()
_running: Sandbox | None = None

Pair = tuple[str, str]


def judged_programs(completions: Sequence[tuple[str, str, str | None]]) -> list[RuleVerdict]:
    """The verdict of every (completion, finish reason, tests as JSON), with its `ProgramFacts`."""
    tests: dict[str, TestSet | None] = {}
    found = [_asked(*c, tests) for c in completions]
    pairs = list(dict.fromkeys(p for p in found if isinstance(p, tuple)))
    facts = judged_pairs(pairs, {gold: t for gold, t in tests.items() if t})
    return [facts[p] if isinstance(p, tuple) else p for p in found]


def judged_pairs(pairs: Sequence[Pair], tests: dict[str, TestSet]) -> dict[Pair, RuleVerdict]:
    """The verdict of every distinct (gold, program); the reference solutions run with them, for the speed."""
    solutions = [(g, s) for g in dict.fromkeys(g for g, _ in pairs) if (s := tests[g].solution) is not None]
    everything = list(dict.fromkeys([*pairs, *solutions]))
    reports = dict(zip(everything, _reports([(p, tests[g]) for g, p in everything]), strict=True))
    accepted = dict(zip(pairs, lints([p for _, p in pairs]), strict=True))
    reference = {g: reports[g, s] for g, s in solutions}
    return {p: _verdict(p[1], reports[p], accepted[p], reference.get(p[0])) for p in pairs}


def failing_programs(golds: Sequence[str]) -> list[str]:
    """What is wrong with test sets: unreadable, or their own solution does not pass; one line each."""
    faults, own = [], []
    for gold in golds:
        try:
            tests = read_tests(gold)
        except CheckFailed as e:
            faults.append(str(e))
            continue
        if tests.solution is not None and tests.written:
            own.append((tests.solution, tests))
    for (solution, _), report in zip(own, _reports(own), strict=True):
        if report.status != "passed":
            told = f"{report.status} {report.detail}".strip()
            faults.append(f"the solution does not pass its own tests ({told}): {solution[:60]!r}")
    return faults


def _reports(programs: Sequence[tuple[str, TestSet]]) -> list[Report]:
    """What became of each; without programs no machine needs a sandbox."""
    return sandbox().run(programs) if programs else []


def sandbox() -> Sandbox:
    """The one sandbox of this process, started when first needed."""
    global _running
    with _LOCK:
        if _running is None:
            _running = Sandbox(best_isolation(Settings.from_environment().sandbox == "none"))
        return _running


@atexit.register
def stop() -> None:
    """End its jails; the next program starts others."""
    global _running
    with _LOCK:
        if _running is not None:
            _running.close()
            _running = None


def _asked(
    completion: str, finish_reason: str, gold: str | None, tests: dict[str, TestSet | None]
) -> Pair | RuleVerdict:
    """The pair to run, or the verdict that needs no run; what test sets say is put into `tests`."""
    if not gold:
        return RuleVerdict("undecided", "no_gold", None, "none")
    if gold not in tests:
        try:
            tests[gold] = read_tests(gold)
        except CheckFailed:
            tests[gold] = None
    if tests[gold] is None:
        return RuleVerdict("undecided", "bad_tests", None, "none")
    program, how = program_of(completion)
    if program is None or finish_reason != "stop":
        return RuleVerdict("wrong", how if finish_reason == "stop" else "truncated", None, "extraction", ProgramFacts())
    return gold, program


def _verdict(program: str, report: Report, accepted: bool | None, reference: Report | None) -> RuleVerdict:
    speed = None
    if report.status == "passed" and reference and reference.status == "passed":
        speed = reference.cpu_seconds / max(report.cpu_seconds, 1e-4)
    facts = ProgramFacts(report.parses, accepted, report.runs, report.share, speed)
    if report.status in NOT_JUDGED:
        return RuleVerdict("undecided", report.status, program, "tests", facts)
    if report.status == "passed":
        return RuleVerdict("correct", "", program, "tests", facts)
    return RuleVerdict("wrong", "" if report.status == "wrong" else report.status, program, "tests", facts)
