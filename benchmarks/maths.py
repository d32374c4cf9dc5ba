"""Maths verdicts a core-second, ours against math-verify alone, and both against known labels, in one run.

python -m benchmarks.maths      three sets: labelled GSM8K solutions (from ../shared/data, else left out), a mix with 16
                               samples a problem, and the project's own hard pairs
CPU time of this process and all workers counts, once both are imported and warm.
"""

import json
import os
import random
import resource
import time
from collections.abc import Callable
from pathlib import Path

from r1data.verify import symbolic
from r1data.verify.verdicts import Asked, judged
from tests.r1data.verify.pairs import pairs

SOLUTIONS = Path(__file__).resolve().parents[2] / "shared" / "data" / "gsm8k_model_solutions.jsonl"
Case = tuple[str, str, bool]  # completion, gold, whether it is right
TICKS = os.sysconf("SC_CLK_TCK")
SETS = ("GSM8K solutions", "mix, 16 samples", "hard pairs")


def gsm8k() -> list[Case]:
    """The labelled solutions of four models, with their answers boxed for the peer's extraction."""
    if not SOLUTIONS.is_file():
        return []
    cases = []
    for line in SOLUTIONS.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        gold = row["ground_truth"].rpartition("A:")[2].strip()
        for name, found in row.items():
            if name not in ("question", "ground_truth"):
                answer = found["solution"].rpartition("A:")[2].strip()
                cases.append((f"<answer>{answer}</answer>", gold, found["is_correct"]))
    return cases


def mix() -> list[Case]:
    """400 problems as maths sets have them, 16 samples each, duplicates as they come.

    Six in ten are right, mostly in the gold's own spelling; the wrong ones are one of two that the problem invites.
    """
    rng = random.Random(0)
    makers = [m for m, share in KINDS for _ in range(share)]
    cases = []
    for _ in range(400):
        gold, right, wrong = rng.choice(makers)(rng.randint(2, 97), rng.randint(2, 97), rng.randint(2, 9))
        for _ in range(16):
            good = rng.random() < 0.6
            answer = (gold if rng.random() < 0.7 else rng.choice(right)) if good else rng.choice(wrong)
            cases.append((f"<answer>{answer}</answer>", gold, good))
    return cases


Made = tuple[str, list[str], list[str]]  # gold, other spellings of it, wrong answers


def _integer(a: int, b: int, c: int) -> Made:
    n = a * b
    return f"{n}", [rf"\boxed{{{n}}}", f"{n:,}", f"{n}.0", f"x = {n}"], [f"{n + c}", f"{a + b}"]


def _fraction(a: int, b: int, c: int) -> Made:
    b += b == a
    spelled = [f"{a}/{b}", rf"\dfrac{{{c * a}}}{{{c * b}}}", rf"$\frac{{{a}}}{{{b}}}$"]
    return rf"\frac{{{a}}}{{{b}}}", spelled, [rf"\frac{{{b}}}{{{a}}}", rf"\frac{{{a + b}}}{{{b}}}"]


def _decimal(a: int, b: int, c: int) -> Made:
    return f"{a}.{b:02d}", [f"{a}.{b:02d}0", f"\\${a}.{b:02d}", f"{a},{b:02d}"], [f"{a}.{b + 1:02d}", f"{b}.{c:02d}"]


def _quantity(a: int, b: int, c: int) -> Made:
    return f"{a}", [f"{a} dollars", rf"{a}\text{{ cm}}", f"{a}元", f"{a} %"], [f"{a + c} dollars", f"{b * c}"]


def _tuple(a: int, b: int, c: int) -> Made:
    return f"({a},{b})", [f"({a}, {b})", rf"\left({a}, {b}\right)"], [f"({b}, {a + 1})", f"({a}, {b + c})"]


def _surd(a: int, b: int, c: int) -> Made:
    return rf"{c}\sqrt{{{a}}}", [rf"\sqrt{{{c * c * a}}}"], [rf"{c}\sqrt{{{a + 1}}}", rf"\sqrt{{{c + a * 101}}}"]


def _polynomial(a: int, b: int, c: int) -> Made:
    return f"{a}x+{b}", [f"{b}+{a}x", f"{a}*x+{b}"], [f"{a}x+{b + c}", f"{a}x-{b}"]


# in hundredths of the mix (shares as guessed in the field: four in five answers are plain numbers)
KINDS = ((_integer, 55), (_fraction, 14), (_decimal, 6), (_quantity, 8), (_tuple, 5), (_surd, 6), (_polynomial, 6))


def hard() -> list[Case]:
    """The project's own pairs."""
    return [(f"<answer>{a}</answer>", g, same) for _, g, a, same in pairs()]


def peer(cases: list[Case]) -> list[bool]:
    """math-verify as its documentation uses it, time-outs on (main thread)."""
    from math_verify import parse, verify

    found = []
    for completion, gold, _ in cases:
        answer = completion.removeprefix("<answer>").removesuffix("</answer>")
        found.append(bool(verify(parse(f"${gold}$"), parse(f"\\boxed{{{answer}}}"))))
    return found


def ours(cases: list[Case]) -> list[bool]:
    """The product's own verdicts."""
    return [v.verdict == "correct" for v in judged([Asked(c, "stop", g) for c, g, _ in cases])]


def cpu() -> float:
    """CPU seconds so far of this process, the symbolic server and its workers, living and ended."""
    own = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    server = symbolic.SERVICE.pid()
    if server is None:
        return own
    workers = Path(f"/proc/{server}/task/{server}/children").read_text().split()
    ended = sum(_ticks(server)[2:])
    return own + (sum(_ticks(server)[:2]) + ended + sum(sum(_ticks(int(w))[:2]) for w in workers)) / TICKS


def _ticks(pid: int) -> list[int]:
    """utime, stime, and those of its ended children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return [int(f) for f in fields[11:15]]


def measured(work: Callable[[list[Case]], list[bool]], cases: list[Case]) -> tuple[float, int, int]:
    """(answers a core-second, false positives, false negatives), with the workers started and warm."""
    symbolic.symbolic_comparisons([("x", "y")])
    before = cpu()
    found = work(cases)
    took = cpu() - before
    wrong = [(f, right) for f, (_, _, right) in zip(found, cases, strict=True) if f != right]
    return len(cases) / took, sum(f for f, _ in wrong), sum(not f for f, _ in wrong)


NASTY = {
    "tower of powers": "9^{9^{9^9}}",
    "factorial": "(10^7)!",
    "sum of 10^9 terms": r"\sum_{k=1}^{10^9} \frac{1}{k}",
    "400 brackets": "(" * 400 + "1" + ")" * 400,
    "1 MB of digits": "7" * 1_000_000,
    "1 MB of brackets": "(" * 1_000_000,
    "NUL bytes": "a\x00b",
    "lone surrogate": "\ud800",
}


def nasty() -> None:
    """How long each nasty answer takes to be refused, and how long the next answer takes then."""
    judged([Asked("<answer>1+x</answer>", "stop", "x+1")])
    print(f"\n{'nasty answer':<20}{'verdict':>12}{'reason':>22}{'seconds':>10}{'next, ms':>10}")
    for i, (name, answer) in enumerate(NASTY.items()):
        started = time.perf_counter()
        (found,) = judged([Asked(f"<answer>{answer}</answer>", "stop", "x+3")])
        took = time.perf_counter() - started
        started = time.perf_counter()
        (after,) = judged([Asked(f"<answer>{i}+x</answer>", "stop", f"x+{i}")])
        assert after.verdict == "correct", after
        ms = (time.perf_counter() - started) * 1000
        print(f"{name:<20}{found.verdict:>12}{found.reason:>22}{took:>10.2f}{ms:>10.1f}")


def main() -> None:
    """Print a line a set, then a line a nasty answer."""
    peer(hard()[:30])  # its imports and first parses
    print(f"{'set':<18}{'answers':>8}{'ours/s':>10}{'peer/s':>10}{'ratio':>8}{'ours FP FN':>12}{'peer FP FN':>12}")
    for name, cases in zip(SETS, (gsm8k(), mix(), hard()), strict=True):
        if not cases:
            print(f"{name:<18} left out: no {SOLUTIONS.name}")
            continue
        started = time.monotonic()
        a, b = measured(ours, cases), measured(peer, cases)
        told = f"{a[0]:>10,.0f}{b[0]:>10,.0f}{a[0] / b[0]:>8.1f}{a[1]:>8} {a[2]:>3}{b[1]:>8} {b[2]:>3}"
        print(f"{name:<18}{len(cases):>8}{told}   ({time.monotonic() - started:.0f} s)")
    nasty()


if __name__ == "__main__":
    main()
