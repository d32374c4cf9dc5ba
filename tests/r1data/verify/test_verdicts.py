"""Verdicts: three values, a reason where there is none to give, and a symbolic tier that cannot hang the run."""

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest

from r1data.errors import CheckFailed
from r1data.verify import canaries, symbolic
from r1data.verify.symbolic import symbolic_comparisons
from r1data.verify.verdicts import Asked, VerifyParams, judged, verdicts
from tests.r1data.verify.pairs import pairs

SOLUTIONS = Path(__file__).resolve().parents[4] / "shared" / "data" / "gsm8k_model_solutions.jsonl"
PROBLEMS = pl.DataFrame({"problem_id": ["p", "q", "r"], "answer": ["68", "x+1", None], "kind": ["math"] * 3})


def row_of(problem: str, completion: str, finish: str = "stop") -> dict[str, str]:
    candidates = pl.DataFrame(
        {"candidate_id": ["c"], "problem_id": [problem], "completion": [completion], "finish_reason": [finish]}
    )
    row: dict[str, str] = verdicts(params=VerifyParams(), candidates=candidates, problems=PROBLEMS).to_dicts()[0]
    return row


@pytest.mark.parametrize(
    ("problem", "completion", "finish", "verdict", "reason"),
    [
        ("p", "<answer>68</answer>", "stop", "correct", ""),
        ("p", "<answer>67</answer>", "stop", "wrong", ""),
        ("p", "<think>so", "length", "wrong", "truncated"),
        ("p", "", "stop", "wrong", "no_answer"),
        ("r", "<answer>68</answer>", "stop", "undecided", "no_gold"),
        ("q", "<answer>1+x</answer>", "stop", "correct", ""),
        ("q", "<answer>2+x</answer>", "stop", "wrong", ""),
    ],
)
def test_verdict_and_reason(problem: str, completion: str, finish: str, verdict: str, reason: str) -> None:
    row = row_of(problem, completion, finish)
    assert (row["verdict"], row["reason"]) == (verdict, reason)


@pytest.mark.parametrize(
    ("gold", "answer", "outcome"),
    [
        ("x+1", "1+x", "equal"),
        (r"-2\pi", "-2*pi", "equal"),
        (r"\ln 2", r"\log 2", "equal"),
        (r"\pi rad", r"180^\circ", "equal"),
        (r"2\sqrt{2}", "sqrt(8)", "equal"),
        ("1/2^98", "1/2^99", "different"),
        (r"\frac{1}{2004!}", r"\frac{1}{2006!}", "different"),
        ("x+1", "x+2", "different"),
        ("3", "9" * 2001, "unparseable_answer"),
    ],
)
def test_symbolic_tier(gold: str, answer: str, outcome: str) -> None:
    assert symbolic_comparisons([(gold, answer)]) == {(gold, answer): outcome}


@pytest.mark.parametrize(
    "nasty",
    ["9^{9^{9^9}}", "(10^7)!", "(" * 400 + "1" + ")" * 400, "1" * 1900, "a\x00b", "\ud800", r"\int_0^1 x^{x^{x}} dx"],
    ids=["tower", "factorial", "brackets", "digits", "nul", "surrogate", "integral"],
)
def test_nasty_answer_is_bounded_and_the_next_is_judged(nasty: str) -> None:
    plain = ("x+1", "1+x")
    outcomes = symbolic_comparisons([("3", nasty), plain])
    assert outcomes["3", nasty] != "equal"
    assert outcomes[plain] == "equal"


@pytest.mark.parametrize(
    ("gold", "answer", "verdict"),
    [
        *[
            ("100", a, "correct")
            for a in (
                "10²",
                "1 hundred",
                "0.0001 million",
                "0.001 hundred thousand",
                "**100**",
                "€100",
                "答：100",
                "10^2",
            )
        ],
        *[("102", a, "wrong") for a in ("10²", "1.02 million")],
        *[("5000", a, "correct") for a in ("5×10³", "5 thousand", "5千", "0.5万元")],
        *[("30000", a, "correct") for a in ("3万", "30 thousand")],
        *[("3", a, "wrong") for a in ("3万", "3 million", "3 dozen", "3 thirds", "3 factorial", "3 squared")],
        *[("3", a, "correct") for a in ("3 千米", "3 km", "3 people", "3 cm^2", "3 cm²", "3 km/h", r"3\text{ m/s}")],
        *[("3 m/s", a, "correct") for a in ("3", r"3\,\text{m/s}", "3 m/s")],
        *[("3 m/s", a, "wrong") for a in ("4 m/s", "3 x^2", "4")],
        *[("1, 2", a, "wrong") for a in ("1.2", "1,3")],
        *[("3.5", a, "correct") for a in ("3½", "7/2", "3,5")],
        *[(r"\\sqrt{2}", a, "correct") for a in ("√2", r"\sqrt 2")],
        *[("0.05", a, "correct") for a in ("5 percent", "5%")],
        *[("7", a, "wrong") for a in ("5=7", "7=5", "1+" * 1200 + "7")],
        ("7", "7=7.0", "correct"),
    ],
)
def test_numbers_as_people_write_them(gold: str, answer: str, verdict: str) -> None:
    (found,) = judged([Asked(f"<answer>{answer}</answer>", "stop", gold.replace("\\\\", "\\"))])
    assert found.verdict == verdict, found


@pytest.mark.parametrize(
    "text", ["The answer is" + " " * 5000 + "。x", "answer is " * 3000, "<think>" * 4000, "A:" * 5000]
)
def test_extraction_takes_time_in_proportion(text: str) -> None:
    started = time.monotonic()
    judged([Asked(text, "stop", "3"), Asked(text, "stop", "B", "choice"), Asked(text, "stop", None, "code")])
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("character", ["7", "(", "\\", "{", "<"])
def test_a_megabyte_is_refused_at_once(character: str) -> None:
    started = time.monotonic()
    (found,) = judged([Asked(f"<answer>{character * 1_000_000}</answer>", "stop", "x+3")])
    assert found.verdict in ("undecided", "wrong")
    assert time.monotonic() - started < 20


def test_an_event_loop_may_ask_itself_or_by_threads() -> None:
    asked = [Asked("<answer>1+x</answer>", "stop", "x+1"), Asked("<answer>2</answer>", "stop", "3")]

    async def ask() -> list[list[str]]:
        here = judged(asked)
        there = await asyncio.gather(*(asyncio.to_thread(judged, asked) for _ in range(4)))
        return [[v.verdict for v in found] for found in (here, *there)]

    assert asyncio.run(ask()) == [["correct", "wrong"]] * 5


def test_threads_share_one_server() -> None:
    pairs = [[(f"x+{i}", f"{i}+x"), (f"x+{i}", f"{i + 1}+x")] for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(symbolic_comparisons, pairs))
    assert [list(o.values()) for o in found] == [["equal", "different"]] * 8


def test_a_server_that_dies_is_replaced() -> None:
    symbolic_comparisons([("x+1", "1+x")])
    assert symbolic.SERVICE._running is not None
    symbolic.SERVICE._running.kill()
    assert symbolic_comparisons([("x+2", "2+x")]) == {("x+2", "2+x"): "equal"}


def test_a_server_that_fails_a_canary_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    symbolic.SERVICE.stop()
    monkeypatch.setattr(symbolic.SERVICE, "canaries", {("ours", "x+1", "1+x"): "different"})
    with pytest.raises(CheckFailed, match="maths workers"):
        symbolic_comparisons([("x+1", "1+x")])
    monkeypatch.undo()
    assert symbolic_comparisons([("x+1", "1+x")]) == {("x+1", "1+x"): "equal"}


def test_unknown_units_are_undecided_and_not_sent() -> None:
    found = judged([Asked("<answer>7 apples</answer>", "stop", "7 oranges")])
    assert (found[0].verdict, found[0].reason) == ("undecided", "units")


def test_canaries_pass() -> None:
    canaries.check_canaries()


def test_broken_canary_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canaries, "CANARIES", ((Asked("<answer>1</answer>", "stop", "2"), "correct"),))
    with pytest.raises(CheckFailed, match="came out wrong"):
        canaries.check_canaries()


def test_gold_health() -> None:
    assert canaries.gold_failures([("math", "68"), ("math", "1/2"), ("math", ""), ("general", None)]) == ["''"]


def test_pairs_of_all_kinds() -> None:
    """Over 300 pairs: no false positive, no false negative, nothing left undecided."""
    known = pairs()
    assert len(known) >= 300
    assert len({(gold, answer) for _, gold, answer, _ in known}) == len(known)
    found = judged([Asked(f"<answer>{answer}</answer>", "stop", gold) for _, gold, answer, _ in known])
    expected = ["correct" if same else "wrong" for *_, same in known]
    differing = [(*p, v.verdict) for p, v, e in zip(known, found, expected, strict=True) if v.verdict != e]
    assert differing == []


@pytest.mark.skipif(not SOLUTIONS.is_file(), reason="the labelled GSM8K solutions are not on this machine")
def test_labelled_solutions_of_real_models() -> None:
    rows = [json.loads(line) for line in SOLUTIONS.read_text(encoding="utf-8").splitlines()]
    models = [k for k in rows[0] if k not in ("question", "ground_truth")]
    golds = [r["ground_truth"].rpartition("A:")[2].strip() for r in rows]
    found = judged([Asked(r[m]["solution"], "stop", gold) for r, gold in zip(rows, golds, strict=True) for m in models])
    labels = [r[m]["is_correct"] for r in rows for m in models]
    assert len(labels) == 3600
    assert [v.verdict == "correct" for v in found] == labels
