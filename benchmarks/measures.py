"""Text measures a core-second: repetitions against datatrove's filter in one run, languages against their bounds.

python -m benchmarks.measures [PYTHON]      PYTHON: an interpreter that has datatrove, else its part is left out:
                                            python3.11 -m venv peer && peer/bin/pip install datatrove==0.10.1 spacy
Documents are 4 kB pieces of Python's own reference, every fourth with a loop in it. CPU time of one thread.
"""

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np

from r1data.rewards.language import counts, encoded, language_consistency
from r1data.rewards.prose import prose
from r1data.rewards.tokens import tokens
from r1data.rewards.windows import coded
from r1data.steps.repetition import repetitions, words
from schemas.generation import REPETITIONS
from tests.r1data.rewards.labelled import SAMPLES, labelled

SIZE, DOCUMENTS, ROWS = 4_000, 400, 2_000
RATIO, PLAIN, IDENTIFIED, ERROR = 60, 20_000, 2_500, 0.02
PEER = Path(__file__).with_name("gopher_peer.py")
# Gopher's thresholds in the order in which datatrove looks at them
THRESHOLDS = {
    **{"dup_para_frac": 0.3, "dup_para_char_frac": 0.2, "dup_line_frac": 0.3, "dup_line_char_frac": 0.2},
    **{"top_2_gram": 0.2, "top_3_gram": 0.18, "top_4_gram": 0.16},
    **{f"duplicated_{n}_n_grams": 0.2 - n / 100 for n in range(5, 11)},
}


def documents() -> list[str]:
    """Pieces of the reference, overlapping, with loops planted in some."""
    rng = random.Random(0)
    text = "\n\n".join(topics[name] for name in sorted(topics))
    pieces = [text[i : i + SIZE] for i in range(0, len(text) - SIZE, SIZE // 4)]
    pieces = rng.sample(pieces, min(DOCUMENTS, len(pieces)))
    for i in range(0, len(pieces), 4):
        loop = pieces[i][: rng.randint(20, 400)]
        pieces[i] = pieces[i][: SIZE // 2] + (loop + rng.choice(["", " ", "\n", "\n\n"])) * rng.randint(1, 12)
    return pieces


def rate(work: Callable[[], object], number: int) -> float:
    """Things a CPU second, best of five, once compiled."""
    work()
    taken = []
    for _ in range(5):
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    return number / min(taken)


def decision(row: list[float]) -> str:
    """The first threshold that a document passes, or nothing."""
    found = dict(zip(REPETITIONS, row, strict=True))
    return next((name for name, most in THRESHOLDS.items() if found[name] > round(most, 2)), "")


def repetition(python: str | None) -> bool:
    """Print rates and agreement; whether the bounds hold."""
    texts = documents()
    buffers = encoded(texts * 5)
    ours = rate(lambda: repetitions(*buffers), 5 * len(texts))
    print(f"13 repetition statistics, {len(texts)} documents: {ours:,.0f} a core-second")
    if python is None:
        print("  datatrove left out: name an interpreter that has it (see --help in this file's docstring)")
        return True
    told = json.dumps({"documents": texts, "words": [words(t) for t in texts]})
    run = subprocess.run([python, str(PEER)], input=told, capture_output=True, text=True, check=True)
    peer = json.loads(run.stdout)
    theirs = len(texts) / peer["seconds"]
    mine = [decision(row) for row in repetitions(*encoded(texts)).tolist()]
    same = sum(a == b for a, b in zip(mine, peer["decisions"], strict=True))
    dropped = sum(bool(d) for d in peer["decisions"])
    print(f"  datatrove {theirs:,.0f} a core-second: x {ours / theirs:.0f}, bound {RATIO}")
    print(f"  decisions on the same words: {same} of {len(texts)} identical, {dropped} of them for dropping")
    return ours / theirs >= RATIO and same == len(texts)


def written(languages: tuple[str, ...]) -> list[str]:
    """Rows of 4 kB of the labelled samples' sentences in such languages, with code and formulas among them."""
    rng = random.Random(0)
    rows = [json.loads(line) for line in SAMPLES.read_text(encoding="utf-8").splitlines()]
    parts = {(k, t) for row in rows for k, t in row["parts"] if len(t) > 40 and "while True" not in t}
    said = sorted(t for k, t in parts if k in languages and not t.startswith("Fibonacci"))
    other = sorted(t for k, t in parts if k == "-")
    made = []
    for _ in range(ROWS):
        row = ""
        while len(row.encode()) < SIZE:
            row += rng.choice(said) if rng.random() < 0.9 else rng.choice(other)
        made.append(row)
    return made


def asked(texts: list[str]) -> int:
    """Windows of a row on average that are left to the identifier."""
    starts, plain, _ = prose(*encoded(texts))
    begins, found = tokens(starts, plain)
    return len(coded(begins, found, plain)[1][1]) // len(texts)


def languages() -> bool:
    """Print rates and error; whether the bounds hold."""
    holds = []
    for name, told, bound in (("no window", ("en",), PLAIN), ("all windows", ("fr", "de", "es"), IDENTIFIED)):
        texts = written(told)
        buffers, targets = encoded(texts), ["en"] * len(texts)
        found = rate(lambda b=buffers, t=targets: counts(*b, t), len(texts))  # type: ignore[misc]
        print(f"languages, {name} to identify ({asked(texts)} a row): {found:,.0f} rows a core-second, bound {bound:,}")
        holds.append(found >= bound)
    samples = labelled()
    errors = [abs((language_consistency(s.text, s.target) or 0.0) - s.share) for s in samples]
    off = sum(e > 0.1 for e in errors)
    mean = float(np.mean(errors))
    print(
        f"languages, {len(samples)} labelled samples: mean absolute error {mean:.4f}, bound {ERROR}; {off} off by 0.1"
    )
    return all(holds) and mean <= ERROR


def main(python: str | None) -> int:
    """Print a line a measurement; 1 where a bound does not hold."""
    holds = [repetition(python), languages()]
    print("all bounds hold" if all(holds) else "a bound does not hold")
    return int(not all(holds))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else None))
