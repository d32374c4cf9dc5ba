"""Maths verdicts a core-second, ours against math-verify alone, and both against known labels, in one run.

python -m benchmarks.maths      three sets: labelled GSM8K solutions (from ../shared/data, else left out), a mix with 16
                               samples a problem as they come, and the project's own hard pairs
CPU time of this process and all workers counts; starting and warming them is told apart.
"""

import json
import random
import resource
import time
from collections.abc import Callable
from pathlib import Path

from r1data.verify.symbolic import stop, symbolic_comparisons
from r1data.verify.verdicts import judged
from tests.r1data.verify.pairs import pairs

SOLUTIONS = Path(__file__).resolve().parents[2] / "shared" / "data" / "gsm8k_model_solutions.jsonl"
Case = tuple[str, str, bool]  # completion, gold, whether it is right
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
    """100 problems, 16 samples each: the right answer six times in ten, else one of two wrong ones."""
    rng = random.Random(0)
    right = [(g, a) for _, g, a, same in pairs() if same]
    cases = []
    for _ in range(100):
        gold, answer = rng.choice(right)
        wrong = [str(rng.randint(1000, 9999)), rf"\frac{{{rng.randint(1, 99)}}}{{97}}"]
        for _ in range(16):
            good = rng.random() < 0.6
            cases.append((f"<answer>{answer if good else rng.choice(wrong)}</answer>", gold, good))
    return cases


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
    return [v.verdict == "correct" for v in judged([(c, "stop", g) for c, g, _ in cases])]


def cpu() -> float:
    """CPU seconds of this process and its ended children."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def measured(work: Callable[[list[Case]], list[bool]], cases: list[Case]) -> tuple[float, int, int]:
    """(answers a core-second, false positives, false negatives); the start of workers is taken off."""
    stop()
    before = cpu()
    symbolic_comparisons([("x", "y")])
    stop()
    start_up = cpu() - before if work is ours else 0.0
    before = cpu()
    found = work(cases)
    stop()
    took = max(1e-9, cpu() - before - start_up)
    wrong = [(f, right) for f, (_, _, right) in zip(found, cases, strict=True) if f != right]
    return len(cases) / took, sum(f for f, _ in wrong), sum(not f for f, _ in wrong)


def main() -> None:
    """Print a line a set."""
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


if __name__ == "__main__":
    main()
