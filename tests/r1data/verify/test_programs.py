"""Verdicts on programs as a completion brings them, and the columns beyond pass or fail."""

import json

import polars as pl
import pytest

from r1data.rewards.score import score_completion
from r1data.sandbox.pool import Sandbox
from r1data.training_params import RewardParams
from r1data.verify import programs
from r1data.verify.canaries import gold_failures
from r1data.verify.lint import lints
from r1data.verify.verdicts import Asked, VerifyParams, judged, verdicts

DOUBLE = json.dumps(
    {
        "asserts": "assert f(2) == 4\nassert f('a') == 'aa'",
        "functions": ["f"],
        "solution": "def f(x):\n    return x + x\n",
    }
)
ECHO = json.dumps({"stdio": [["a\n", "a"], ["b\n", "b"]], "cpu_seconds": 1, "wall_seconds": 3})


def fenced(program: str) -> str:
    return f"<think>\n```python\nprint('a draft')\n```\n</think>\nHere it is:\n```python\n{program}\n```\n"


@pytest.mark.parametrize(
    ("completion", "finish", "gold", "verdict", "reason", "share"),
    [
        (fenced("def f(x): return x * 2"), "stop", DOUBLE, "correct", "", 1.0),
        ("<answer>\n```\ndef f(x): return x * 2\n```\n</answer>", "stop", DOUBLE, "correct", "", 1.0),
        ("<answer>def f(x): return x * 2</answer>", "stop", DOUBLE, "correct", "", 1.0),
        (fenced("def f(x): return x + 2"), "stop", DOUBLE, "wrong", "runtime_error", 0.5),
        (fenced("def f(x): return 0"), "stop", DOUBLE, "wrong", "", 0.0),
        (fenced("def f(x) return"), "stop", DOUBLE, "wrong", "runtime_error", None),
        (fenced("print(input())"), "stop", ECHO, "correct", "", 1.0),
        (fenced("print('a')"), "stop", ECHO, "wrong", "", 0.5),
        (fenced("while True: pass"), "stop", ECHO, "wrong", "timeout", 0.0),
        (fenced("print(input())"), "length", ECHO, "wrong", "truncated", None),
        ("I cannot.", "stop", ECHO, "wrong", "no_code", None),
        ("<think>```python\nprint(input())\n```</think>", "stop", ECHO, "wrong", "no_code", None),
        (fenced("print(input())"), "stop", None, "undecided", "no_gold", None),
    ],
)
def test_completions(
    completion: str, finish: str, gold: str | None, verdict: str, reason: str, share: float | None
) -> None:
    (found,) = judged([Asked(completion, finish, gold, "code")])
    assert (found.verdict, found.reason) == (verdict, reason), found
    assert (found.program.share if found.program else None) == share, found


RIGHT = "def f(x):\n    return x * 2"


@pytest.mark.parametrize(
    "completion",
    [
        f"```text\nfirst\n```\nSolution:\n```python\n{RIGHT}\n```",
        f"```python\n{RIGHT}\n```\nIt prints:\n```\n4\n```",
        f"```bash\nls\n```\n```\n{RIGHT}\n```\n",
        f"```python\r\n{RIGHT}\r\n```\r\n",
        f"~~~python\n{RIGHT}\n~~~",
        f"```python title=x\n{RIGHT}\n```",
        f"```Python 3\n{RIGHT}\n```",
        f"````python\n{RIGHT}\n````",
        "1. So:\n   ```python\n   def f(x):\n       return x * 2\n   ```",
        f"```python\n{RIGHT}\n",
        f"<think>put it in <answer> tags</think>\n```python\n{RIGHT}\n```",
        f"```python\n# <think> and <answer>\n{RIGHT}\n```",
        f"<think>a</think><answer>\n```python\n{RIGHT}\n```\n</answer>",
    ],
)
def test_programs_are_found_as_people_write_them(completion: str) -> None:
    (found,) = judged([Asked(completion, "stop", DOUBLE, "code")])
    assert found.verdict == "correct", found


def test_all_five_columns() -> None:
    programs = ["def f(x):\n    return x * 2\n", "import os\ndef f(x):\n    return y\n", "def f(x) return"]
    candidates = pl.DataFrame(
        {
            "candidate_id": ["a", "b", "c"],
            "problem_id": ["p"] * 3,
            "completion": [fenced(p) for p in programs],
            "finish_reason": ["stop"] * 3,
        }
    )
    problems = pl.DataFrame({"problem_id": ["p"], "answer": [DOUBLE], "kind": ["code"]})
    found = verdicts(params=VerifyParams(), candidates=candidates, problems=problems)
    assert found["verdict"].to_list() == ["correct", "wrong", "wrong"]
    assert found["parses"].to_list() == [True, True, False]
    assert found["lints"].to_list() == [True, False, False]
    assert found["runs"].to_list()[0] is True
    assert found["share"].to_list()[:2] == [1.0, 0.0]
    speed = found["speed"].to_list()
    assert speed[1:] == [None, None]
    assert 0.1 < speed[0] < 10


def test_tests_that_cannot_be_read_or_run_are_undecided_never_wrong() -> None:
    broken = json.dumps({"asserts": "import no_such_module", "functions": ["f"]})
    found = judged([Asked(fenced("def f(x): return x"), "stop", gold, "code") for gold in (broken, "{}")])
    assert [(v.verdict, v.reason) for v in found] == [("undecided", "bad_tests")] * 2


def test_gold_health_of_programs() -> None:
    wrong = json.dumps({**json.loads(DOUBLE), "solution": "def f(x): return x"})
    faults = gold_failures([("code", DOUBLE), ("code", wrong), ("code", "{}")])
    assert len(faults) == 2
    assert any("does not pass its own tests (wrong" in f for f in faults)
    assert any("exactly one of" in f for f in faults)


def test_without_programs_no_sandbox_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses() -> Sandbox:
        raise AssertionError("a recipe without programs must run on a machine without isolation")

    monkeypatch.setattr(programs, "sandbox", refuses)
    assert gold_failures([("math", "1"), ("general", None)]) == []
    assert judged([Asked("I cannot.", "stop", DOUBLE, "code")])[0].reason == "no_code"


def test_speed_is_rewarded_only_when_asked_for_and_right() -> None:
    verdict, slow = judged([Asked(fenced("def f(x): return x * 2"), "stop", DOUBLE, "code")] * 2)
    assert verdict.program is not None
    plain = score_completion("x", "stop", verdict, "en", RewardParams())
    assert "speed" not in plain.components
    paid = score_completion("x", "stop", slow, "en", RewardParams(speed_weight=0.5))
    assert 0 < paid.components["speed"] <= 0.5
    (bad,) = judged([Asked(fenced("def f(x): return 0"), "stop", DOUBLE, "code")])
    assert score_completion("x", "stop", bad, "en", RewardParams(speed_weight=0.5)).components["speed"] == 0.0


def test_the_linter_judges_each_program_by_itself() -> None:
    assert lints([]) == []
    assert lints(["x = 1\n", "import os\n", "def f(:\n", "print(undefined)\n"]) == [True, False, False, False]
