"""Reports: every status, partial credit, comparison outside, the machine's failures apart from the program's."""

import gc
import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from r1data.errors import CheckFailed
from r1data.sandbox import jail
from r1data.sandbox.cases import TestSet, read_tests, same, same_output
from r1data.sandbox.execute import Limits, Runner
from r1data.sandbox.jail import Died, Zygote, best_isolation
from r1data.sandbox.plain import plain, value_of
from r1data.sandbox.pool import Sandbox

HUMANEVAL = Path(__file__).resolve().parents[4] / "shared" / "data" / "humaneval_even.jsonl"
DOUBLE = TestSet(calls=(([1], 2), ([2], 4), (["a"], "aa")), functions=("f",))
SUM = TestSet(stdio=(("1 2\n", "3\n"), ("5 5\n", "10\n")))


@pytest.mark.parametrize(
    ("program", "tests", "status", "share"),
    [
        ("def f(x): return x * 2", DOUBLE, "passed", 1.0),
        ("def f(x): return x + x if x != 2 else 5", DOUBLE, "wrong", 2 / 3),
        ("def f(x): return x + 1", DOUBLE, "runtime_error", 1 / 3),
        ("def g(x): return x", DOUBLE, "runtime_error", 0.0),
        ("def f(x) return x", DOUBLE, "runtime_error", 0.0),
        ("def f(x): return lambda: x", DOUBLE, "runtime_error", 0.0),
        ("print(sum(map(int, input().split())))", SUM, "passed", 1.0),
        ("print(3)", SUM, "wrong", 0.5),
        ("print(3)\n1 / 0", SUM, "runtime_error", 0.0),
        ("import sys\nprint(sum(map(int, sys.stdin.buffer.read().split())))", SUM, "passed", 1.0),
        (
            "import threading\nthreading.Thread(target=lambda: print(sum(map(int, input().split())))).start()",
            SUM,
            "passed",
            1.0,
        ),
        ("print(sum(map(int, input().split())))\nexit()", SUM, "passed", 1.0),
        ("import atexit\natexit.register(lambda: print(sum(map(int, input().split()))))", SUM, "passed", 1.0),
        ("def f(x): return x * 2\nif __name__ == '__main__': f(input())", DOUBLE, "passed", 1.0),
        ("a, b = map(int, open(0).read().split())\nprint(a + b)\nprint(a + b)", SUM, "wrong", 0.0),
    ],
)
def test_status_and_share(program: str, tests: TestSet, status: str, share: float, sandbox: Sandbox) -> None:
    (report,) = sandbox.run([(program, tests)])
    assert report.status == status, report
    assert report.share == pytest.approx(share)


def test_assertions_are_counted_and_a_helper_of_the_tests_cannot_be_replaced(sandbox: Sandbox) -> None:
    tests = TestSet(
        asserts="assert twice(2) == 4\nassert close(twice(3), 6)\nassert twice(4) == 9\nassert twice([1]) == [1, 1]",
        prelude="def close(a, b): return abs(a - b) < 1",
        functions=("twice",),
    )
    (report,) = sandbox.run([("def twice(x): return x * 2\ndef close(a, b): return True", tests)])
    assert (report.status, report.passed, report.tests) == ("wrong", 3, 4), report
    (cheated,) = sandbox.run([("def twice(x): return 0\ndef close(a, b): return True", tests)])
    assert cheated.passed == 0, cheated


def test_everyday_return_types_and_names_are_no_hindrance(sandbox: Sandbox) -> None:
    tests = TestSet(
        prelude="from math import e",
        asserts="def check():\n assert f('aab') == {'a': 2, 'b': 1}\n assert e > 2\ncheck()\nassert g(2) == (2,)",
        functions=("f", "g"),
    )
    program = (
        "import collections\nP = collections.namedtuple('P', 'x')\n"
        "def f(s): return collections.Counter(s)\ndef g(x): return P(x)"
    )
    assert sandbox.run([(program, tests)])[0].status == "passed"


@pytest.mark.parametrize("asserts", ["f(1)", "import sys\nassert f(1)\nsys.exit(0)", "assert f(lambda: 1)"])
def test_tests_that_assert_nothing_or_cannot_cross_are_bad(asserts: str, sandbox: Sandbox) -> None:
    (report,) = sandbox.run([("def f(x): return x", TestSet(asserts=asserts, functions=("f",)))])
    assert report.status == "bad_tests", report


def test_tests_that_do_not_run_are_told_apart_from_a_wrong_program(sandbox: Sandbox) -> None:
    for broken in ("assert f(1) ==", "import nothing_like_this\nassert f(1)"):
        (report,) = sandbox.run([("def f(x): return x", TestSet(asserts=broken, functions=("f",)))])
        assert report.status == "bad_tests", report


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{}", "exactly one of"),
        ('{"calls": [[[1], 2]]}', "function"),
        ('{"stdio": [["a", "b"]], "answer": 1}', "answer"),
        ("no json", "Invalid JSON"),
    ],
)
def test_a_broken_test_set_is_named(text: str, told: str) -> None:
    with pytest.raises(CheckFailed, match=told):
        read_tests(text)


def test_a_jail_that_dies_is_replaced_and_the_program_tried_again() -> None:
    with Sandbox(lanes=1) as sandbox:
        assert sandbox.run([("print(3)", SUM)])[0].passed == 1
        runner = sandbox._free.get()
        assert runner is not None
        os.kill(runner.zygote.process.pid, signal.SIGKILL)
        sandbox._free.put(runner)
        assert sandbox.run([("print(3)", SUM)])[0].status == "wrong"


def test_a_job_ends_with_its_jail_and_leaves_no_descriptor(sandbox: Sandbox) -> None:
    def alive() -> list[int]:
        told = (p.read_bytes() for p in Path("/proc").glob("[0-9]*/cmdline") if p.exists())
        return [1 for line in told if b"from r1data.sandbox.inside import main" in line]

    before, open_before = len(alive()), len(list(Path("/proc/self/fd").iterdir()))
    zygote = Zygote(sandbox.isolation)
    runner = Runner(zygote)
    child = runner._start({"mode": "run", "code": "import time\ntime.sleep(600)"}, [], Limits(), "")
    time.sleep(0.5)
    assert len(alive()) > before
    zygote.close()
    deadline = time.monotonic() + 10
    while len(alive()) > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(alive()) == before
    for reader in child.collected:
        os.close(reader)
    with pytest.raises(Died):
        runner.run([{"mode": "run", "code": "1"}], Limits())
    assert len(list(Path("/proc/self/fd").iterdir())) == open_before


def test_threads_share_a_sandbox(sandbox: Sandbox) -> None:
    programs = [(f"def f(x): return x * {n}", DOUBLE) for n in range(2, 6)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: [r.status == "passed" for r in sandbox.run(programs)], range(4)))
    assert found == [[True, False, False, False]] * 4


def test_many_jobs_leave_no_descriptor_and_no_process(sandbox: Sandbox) -> None:
    def left() -> tuple[int, list[str]]:
        me = os.getpid()
        gc.collect()  # what other tests left open
        return len(list(Path("/proc/self/fd").iterdir())), Path(f"/proc/{me}/task/{me}/children").read_text().split()

    programs = [("print(3)", SUM), ("while True: pass", SUM.model_copy(update={"cpu_seconds": 1})), ("1 / 0", SUM)]
    sandbox.run(programs)
    before = left()
    for _ in range(3):
        sandbox.run([("print(3)", SUM)] * 50)
    sandbox.run(programs)
    assert left() == before


def test_a_run_is_repeatable(sandbox: Sandbox) -> None:
    def output() -> str:
        zygote = Zygote(sandbox.isolation)
        try:
            job = {"mode": "run", "code": "import random\nprint(random.random(), list({'x', 'y', 'z'}))"}
            return Runner(zygote).run([job], Limits())[0].out
        finally:
            zygote.close()

    first = output()
    assert len(first) > 20
    assert output() == first


def test_without_any_isolation_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = {"full": "no namespaces", "landlock": "no landlock", "none": ""}
    monkeypatch.setattr(jail, "isolations", lambda: refused)
    with pytest.raises(CheckFailed, match="no namespaces; landlock: no landlock"):
        best_isolation()
    assert best_isolation(unsafe=True) == "none"


@pytest.mark.parametrize("value", [None, True, 7, "a", 1.5, float("inf"), 2j, [1, (2, {3})], {"a": {1: [None]}}])
def test_plain_values_cross_the_wall(value: object) -> None:
    assert value_of(json.loads(json.dumps(plain(value)))) == value


def test_integers_of_any_size_cross_the_wall(sandbox: Sandbox) -> None:
    huge = -(7**9_999)
    assert value_of(json.loads(json.dumps(plain(huge)))) == huge
    (report,) = sandbox.run([("def f(n): return 7 ** n", TestSet(calls=(([9_999], -huge),), functions=("f",)))])
    assert report.status == "passed"


@pytest.mark.parametrize(
    ("found", "expected", "equal"),
    [
        (4, 4, True),
        (4.0, 4, True),
        ("4", 4, False),
        ((1, 2), [1, 2], True),
        ([1, 2], [1, 2, 3], False),
        (0.1 + 0.2, 0.3, True),
        (0.31, 0.3, False),
        (float("nan"), 1.0, False),
        ({"a": (1,)}, {"a": [1]}, True),
        (None, 0, False),
    ],
)
def test_values_are_compared_as_values(found: object, expected: object, equal: bool) -> None:
    assert same(found, expected) is equal


@pytest.mark.parametrize(
    ("found", "expected", "equal"),
    [
        ("1 2\n", "1  2", True),
        ("1\n2", "1 2", False),
        ("0.50", "0.5", True),
        ("1\n", "1\n\n", True),
        ("1\nextra", "1", False),
        ("10", "010", False),
        ("Yes", "yes", False),
    ],
)
def test_output_is_compared_by_lines(found: str, expected: str, equal: bool) -> None:
    assert same_output(found, expected) is equal


@pytest.mark.skipif(not HUMANEVAL.is_file(), reason="no shared data beside this clone")
def test_humaneval_solutions_pass_and_broken_ones_fail(sandbox: Sandbox) -> None:
    rows = [json.loads(line) for line in HUMANEVAL.read_text(encoding="utf-8").splitlines()]
    tests = [
        TestSet(
            asserts=f"{r['test']}\ncheck({r['entry_point']})",
            prelude=f"{r['prompt']}\n    pass\n",
            functions=(r["entry_point"],),
        )
        for r in rows
    ]
    right = sandbox.run([(r["prompt"] + r["canonical_solution"], t) for r, t in zip(rows, tests, strict=True)])
    assert [r["task_id"] for r, found in zip(rows, right, strict=True) if found.status != "passed"] == []
    broken = sandbox.run([(f"{r['prompt']}    return None\n", t) for r, t in zip(rows, tests, strict=True)])
    assert [r["task_id"] for r, found in zip(rows, broken, strict=True) if found.status == "passed"] == []
    assert len(rows) == 82
