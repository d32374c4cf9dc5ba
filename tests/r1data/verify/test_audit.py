"""A second method on a sample: both halves, the same sample each time, disagreements found and counted."""

import json
from typing import Any

import polars as pl
import pytest

from r1data.report.audit import _rows, wilson
from r1data.verify.audit import AuditParams, audit
from r1data.verify.verdicts import VerifyParams, verdicts

OPTIONS = json.dumps({"answer": "B", "options": {"A": "Lyon", "B": "Paris"}})
DOUBLE = json.dumps({"calls": [[[2], 4]], "functions": ["f"]})
PROBLEMS = pl.DataFrame(
    {
        "problem_id": ["m", "n", "c", "p", "l"],
        "kind": ["math", "math", "choice", "code", "logic"],
        "answer": ["68", r"\frac{1}{2^{98}}", OPTIONS, DOUBLE, "x"],
    }
)
SAID = [
    ("m", "<think>67</think><answer>68</answer>"),
    ("m", "<think>68</think><answer>67</answer>"),
    ("m", "<think>a</think>So it is 34+34=68.<answer>68</answer>"),
    ("n", r"<think>a</think><answer>\frac{1}{2^{99}}</answer>"),
    ("c", "<answer>B</answer>"),
    ("c", "<answer>A</answer>"),
    ("p", "<answer>def f(x): return x * 2</answer>"),
    ("p", "<answer>def f(x): return x * 3</answer>"),
    ("l", "<answer>y</answer>"),
]


def tables() -> dict[str, pl.DataFrame]:
    candidates = pl.DataFrame(
        {
            "candidate_id": [f"c{i}" for i in range(len(SAID))],
            "problem_id": [p for p, _ in SAID],
            "completion": [text for _, text in SAID],
            "finish_reason": ["stop"] * len(SAID),
        }
    )
    found = verdicts(params=VerifyParams(), candidates=candidates, problems=PROBLEMS)
    return {"candidates": candidates, "verdicts": found, "problems": PROBLEMS}


def test_the_second_method_agrees_but_for_its_known_fault() -> None:
    found = audit(params=AuditParams(), **tables()).sort("candidate_id")
    rows = {r["candidate_id"]: (r["verdict"], r["second"]) for r in found.to_dicts()}
    assert set(rows) == {f"c{i}" for i in range(8)}, "logic has no second method"
    assert rows["c0"] == rows["c2"] == rows["c4"] == rows["c6"] == ("correct", "correct")
    assert rows["c1"] == rows["c5"] == rows["c7"] == ("wrong", "wrong")
    assert rows["c3"] == ("wrong", "correct"), "math-verify rounds absolutely: that is what an audit is to show"


def test_the_sample_has_both_verdicts_and_is_the_same_each_time() -> None:
    first = audit(params=AuditParams(sample=4, seed=1), **tables())
    assert first["verdict"].to_list() == ["correct", "correct", "wrong", "wrong"]
    assert audit(params=AuditParams(sample=4, seed=1), **tables()).equals(first)


def test_the_table_counts_what_differs() -> None:
    rows: dict[tuple[str, str], Any] = {(r[0], r[1]): r for r in _rows("x", audit(params=AuditParams(), **tables()))}
    assert rows["x: false rejects", "math"][3:6] == ("2", "1", "50.0 %")
    assert rows["x: false accepts", "math"][3:6] == ("2", "0", "0.0 %")


@pytest.mark.parametrize(
    ("count", "of", "low", "high"), [(0, 0, 0.0, 1.0), (0, 100, 0.0, 0.037), (5, 10, 0.237, 0.763)]
)
def test_wilson_interval(count: int, of: int, low: float, high: float) -> None:
    assert wilson(count, of) == pytest.approx((low, high), abs=1e-3)
