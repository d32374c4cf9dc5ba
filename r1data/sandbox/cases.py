"""The tests of a programming problem and what became of a program under them.

Expected values stay on this side of the wall: the jail gets code and inputs, and gives back values. Tests written as
assertions run in a jail of their own, where the program under test is a proxy.
"""

import math
import re
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from r1data.errors import CheckFailed
from r1data.sandbox.execute import Limits, Ran, Runner
from r1data.sandbox.jail import Died
from r1data.sandbox.job import BROKEN
from r1data.sandbox.plain import plain, value_of

Status = Literal["passed", "wrong", "runtime_error", "timeout", "memory", "output_limit", "infra_error", "bad_tests"]
RELATIVE, ABSOLUTE = 1e-9, 1e-12
LARGEST = sys.float_info.max
BAD_TESTS = ("SyntaxError", "IndentationError", "ImportError", "ModuleNotFoundError", "Unsupported", "SystemExit")
_MIB = 1 << 20


class TestSet(BaseModel):
    """What a program is tested with: `stdio` (input and expected output), `calls` (arguments and expected value),
    or `asserts` (code that calls `functions`, with a `prelude` it may use). `solution` is a program known to pass.

    A set that has a solution may hold no tests yet: they are written from it and from programs known to be right or
    wrong (`r1data.verify.written_tests`). Until then nothing is judged by it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    __test__ = False

    stdio: tuple[tuple[str, str], ...] = ()
    calls: tuple[tuple[list[Any], Any], ...] = ()
    asserts: str = ""
    functions: tuple[str, ...] = ()
    prelude: str = ""
    solution: str | None = None
    right: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    cpu_seconds: int = Field(default=Limits.cpu_seconds, gt=0, le=600)
    wall_seconds: float = Field(default=Limits.wall_seconds, gt=0, le=3600)
    memory_mib: int = Field(default=512, ge=64, le=1 << 16)

    @model_validator(mode="after")
    def _one_style(self) -> "TestSet":
        styles = sum(map(bool, (self.stdio, self.calls, self.asserts)))
        if styles > 1 or (styles == 0 and self.solution is None):
            raise ValueError("exactly one of stdio, calls and asserts must hold tests")
        if ((self.calls or self.asserts) and not self.functions) or (self.calls and len(self.functions) > 1):
            raise ValueError("calls need the one function, asserts the functions, that the program defines")
        return self

    @property
    def written(self) -> bool:
        """Whether there are tests yet."""
        return bool(self.stdio or self.calls or self.asserts)

    @property
    def limits(self) -> Limits:
        """Of one child."""
        return Limits(self.cpu_seconds, self.wall_seconds, self.memory_mib * _MIB)


@dataclass(frozen=True)
class Report:
    """What became of a program: status, tests passed of all, whether it parses, whether it ran to its end, CPU seconds.

    `runs` is None where it did not come to that; `share` of tests is partial credit and never makes a pass.
    """

    status: Status
    passed: int = 0
    tests: int = 0
    parses: bool | None = None
    runs: bool | None = None
    cpu_seconds: float = 0.0
    detail: str = ""

    @property
    def share(self) -> float | None:
        """Passed tests of all, where there are tests."""
        return self.passed / self.tests if self.tests else None


def read_tests(text: str) -> TestSet:
    """A test set from its JSON; raises `CheckFailed` saying what is wrong with it."""
    try:
        return TestSet.model_validate_json(text)
    except ValidationError as e:
        first = e.errors()[0]
        where = ".".join(map(str, first["loc"])) or "tests"
        raise CheckFailed(f"tests of a problem: {where}: {first['msg']}", "see `r1data.sandbox.cases.TestSet`") from e


def tested(runner: Runner, code: str, tests: TestSet) -> Report:
    """Run a program against its tests once; raises `Died` when the jail did."""
    if not tests.written:
        return Report("bad_tests", detail="no tests yet")
    if tests.stdio:
        return _stdio(runner, code, tests)
    return _calls(runner, code, tests) if tests.calls else _asserts(runner, code, tests)


def _stdio(runner: Runner, code: str, tests: TestSet) -> Report:
    """A fresh child for every input; stops at the first test that was cut off, the rest counts as not passed."""
    found = Report("passed", 0, len(tests.stdio), parses=True, runs=True)
    for given, expected in tests.stdio:
        (ran,) = runner.run([{"mode": "run", "code": code}], tests.limits, given)
        status = _ended(ran, tests.limits) or ("passed" if same_output(ran.out, expected) else "wrong")
        found = replace(found, cpu_seconds=found.cpu_seconds + ran.cpu_seconds)
        if status == "passed":
            found = replace(found, passed=found.passed + 1)
        elif found.status == "passed":
            runs = status == "wrong"
            found = replace(found, status=status, runs=runs, parses=ran.parses, detail=_last_line(ran.err))
        if status in ("timeout", "memory", "output_limit") or not found.parses:
            break
    return found


def _calls(runner: Runner, code: str, tests: TestSet) -> Report:
    inputs = [plain(tuple(a)) for a, _ in tests.calls]
    job = {"mode": "calls", "code": code, "function": tests.functions[0], "calls": inputs}
    (ran,) = runner.run([job], tests.limits)
    answers = dict(_values(ran, len(inputs)))
    good = sum(i in answers and same(answers[i], expected) for i, (_, expected) in enumerate(tests.calls))
    raised = any("e" in line for line in ran.told if "call" in line)
    status = _ended(ran, tests.limits) or ("runtime_error" if raised else "wrong")
    if good == len(inputs):
        status = "passed"
    runs = len(answers) == len(inputs)
    return Report(
        status, good, len(inputs), ran.parses, runs, ran.cpu_seconds, ran.tells("error") or _last_line(ran.err)
    )


def _asserts(runner: Runner, code: str, tests: TestSet) -> Report:
    judge = {"mode": "tests", "tests": tests.asserts, "prelude": tests.prelude, "functions": tests.functions}
    served, judged = runner.run([{"mode": "serve", "code": code}, judge], tests.limits)
    ran, held, end = judged.tells("ran") or 0, judged.tells("held") or 0, judged.tells("ended")
    status = _ended(served, tests.limits)
    runs = not status and end == ""
    if end == "" and ran and ran == held:
        status = "passed"
    elif not status and end is None:  # the tests themselves were cut off
        status = _ended(judged, tests.limits) or "infra_error"
    elif not status and (end in BAD_TESTS or (end == "" and not ran)):
        status = "bad_tests"
    elif not status and end not in ("", "AssertionError"):
        status = "runtime_error"
    elif not status:
        status = "wrong" if judged.tells("first") in ("AssertionError", None) and ran else "runtime_error"
    detail = served.tells("error") or end or judged.tells("first") or ""
    return Report(status, held, ran, served.parses, runs, served.cpu_seconds, str(detail))


def _ended(ran: Ran, limits: Limits) -> Status | Literal[""]:
    """How a child ended when not by itself and well; raises `Died` where the machine and not the program failed."""
    if ran.stopped:
        return "timeout" if ran.stopped == "timeout" else "output_limit"
    if ran.exit == -signal.SIGKILL and ran.cpu_seconds >= limits.cpu_seconds - 0.5:
        return "timeout"
    if ran.parses is None and ran.exit in (BROKEN, -signal.SIGKILL):
        raise Died("a child was killed from outside" if ran.exit < 0 else "a child could not put up its walls")
    if ran.exit == -signal.SIGKILL or ran.tells("error") == "MemoryError":
        return "memory"
    return "runtime_error" if ran.exit != 0 or ran.tells("error") else ""


def _values(ran: Ran, count: int) -> Iterator[tuple[int, Any]]:
    """What came back for each call: the first that was told for it, if it is a value that can have been written."""
    seen = set()
    for line in ran.told:
        call = line.get("call")
        if type(call) is not int or call in seen or not 0 <= call < count:
            continue
        seen.add(call)
        if "v" in line:
            try:
                yield call, value_of(line["v"])
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                continue


def same(found: Any, expected: Any) -> bool:
    """Equal as Python's plain values are; a tuple equals a list, floats within 1e-9 relatively or 1e-12."""
    if isinstance(expected, list | tuple):
        return isinstance(found, list | tuple) and len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, dict):
        return (
            isinstance(found, dict)
            and found.keys() == expected.keys()
            and all(same(found[k], expected[k]) for k in found)
        )
    if isinstance(expected, float) and type(found) in (int, float) and abs(found) <= LARGEST:
        return math.isclose(found, expected, rel_tol=RELATIVE, abs_tol=ABSOLUTE) or found == expected
    if type(found) is float and type(expected) is int:
        return found == expected
    return bool(found == expected)


def same_output(found: str, expected: str) -> bool:
    """Line by line, blanks at ends aside; within a line the same words, numbers equal in value."""
    ours, theirs = (text.rstrip().splitlines() for text in (found, expected))
    return len(ours) == len(theirs) and all(map(_same_line, ours, theirs))


def _same_line(found: str, expected: str) -> bool:
    ours, theirs = found.split(), expected.split()
    return len(ours) == len(theirs) and all(a == b or _same_number(a, b) for a, b in zip(ours, theirs, strict=True))


def _same_number(a: str, b: str) -> bool:
    if not (re.fullmatch(r"[+-]?\d{1,40}(\.\d{0,40})?", a) and re.fullmatch(r"[+-]?\d{1,40}(\.\d{0,40})?", b)):
        return False
    if "." not in b:  # a whole number was expected
        return "." in a and Decimal(a) == Decimal(b)
    try:
        return Decimal(a) == Decimal(b) or math.isclose(float(a), float(b), rel_tol=RELATIVE)
    except InvalidOperation:
        return False


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1][:200] if text.strip() else ""
