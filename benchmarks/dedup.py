"""Near-duplicates: documents a core-second, recall on copies with 2 % of words changed, what is found besides.

pip install --target PEER rensa datasketch           (for the benchmark alone: the project does not use them)
PYTHONPATH=PEER python -m benchmarks.dedup           rensa and datasketch are left out where they cannot be imported
"""

import json
import random
import re
import time
from collections.abc import Callable

import numpy as np
import polars as pl

from benchmarks.texts import DATA, changed, documents, solutions
from r1data.cleaning_params import DedupParams
from r1data.steps.near_duplicates import duplicates, signatures
from schemas import TABLES

PARAMS = DedupParams()
PERMUTATIONS = PARAMS.bands * PARAMS.rows
DOCUMENTS, COPIES, FEW = 4_000, 1_000, 300
BOUND, RECALL = 15_000, 0.95
_WORD = re.compile(r"\w+")
Pairs = list[tuple[int, int]]  # a later document and one before it that it is said to repeat
NO_DROPS = pl.DataFrame(schema={f.name: pl.String for f in TABLES["drops"].schema})


def with_copies(texts: list[str], share: float) -> list[str]:
    """The texts, then copies of the first `COPIES` of them."""
    return [*texts, *(changed(text, share, i) for i, text in enumerate(texts[:COPIES]))]


def ours(texts: list[str]) -> Pairs:
    """Both of the product's steps; of equal scores the earlier document stays."""
    ids = [f"{i:08}" for i in range(len(texts))]
    tokens = pl.Series([0] * len(ids), dtype=pl.Int64)
    given = pl.DataFrame({"candidate_id": ids, "problem_id": "", "completion": texts, "completion_tokens": tokens})
    verdicts = pl.DataFrame({"candidate_id": ids, "share": [1.0] * len(ids)})
    signed = signatures(params=PARAMS, candidates=given, verdicts=verdicts, drops=NO_DROPS)
    gone = duplicates(params=PARAMS, signatures=signed)
    return [(int(row), int(value.split()[0])) for row, value in gone.select("row_id", "value").iter_rows()]


def rensa_pairs(texts: list[str]) -> Pairs:
    """RMinHash and its LSH, with our shingles, permutations, bands and least estimate."""
    from rensa import RMinHash, RMinHashLSH

    index = RMinHashLSH(PARAMS.similarity, PERMUTATIONS, PARAMS.bands)
    pairs, hashes = [], []
    for i, text in enumerate(texts):
        found = RMinHash(PERMUTATIONS, 42)
        found.update(_joined(text))
        pairs += [(i, j) for j in index.query(found) if found.jaccard(hashes[j]) >= PARAMS.similarity]
        index.insert(i, found)
        hashes.append(found)
    return pairs


def datasketch_pairs(texts: list[str]) -> Pairs:
    """datasketch's MinHash and LSH, the same."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(num_perm=PERMUTATIONS, params=(PARAMS.bands, PARAMS.rows))
    pairs, hashes = [], []
    for i, text in enumerate(texts):
        found = MinHash(num_perm=PERMUTATIONS)
        found.update_batch([s.encode() for s in _joined(text)])
        pairs += [(i, j) for j in index.query(found) if found.jaccard(hashes[j]) >= PARAMS.similarity]
        index.insert(i, found)
        hashes.append(found)
    return pairs


def _joined(text: str) -> list[str]:
    words = _WORD.findall(text.lower())
    return [" ".join(words[i : i + PARAMS.shingle]) for i in range(len(words) - PARAMS.shingle + 1)]


def jaccard(a: str, b: str) -> float:
    """The true similarity."""
    one, other = set(_joined(a)), set(_joined(b))
    return len(one & other) / max(1, len(one | other))


def measured(work: Callable[[list[str]], Pairs], texts: list[str]) -> tuple[float, Pairs]:
    """(documents a second of CPU time, what was found)."""
    before = time.process_time()
    found = work(texts)
    return len(texts) / (time.process_time() - before), found


def told(texts: list[str], originals: int, copies: int, found: Pairs) -> tuple[float, int, int]:
    """(share of the copies that were found, other pairs, those of a true similarity below 0.7)."""
    planted = {(originals + i, i) for i in range(copies)}
    others = [pair for pair in found if pair not in planted]
    wrong = sum(jaccard(texts[a], texts[b]) < PARAMS.similarity - 0.1 for a, b in others)
    return len(planted & set(found)) / copies, len(others), wrong


def s_curve() -> None:
    """How often a pair of a true similarity shares a band and is estimated to be similar enough (simulated)."""
    rng = np.random.default_rng(0)
    print(f"\n{PARAMS.shingle}-shingles, {PARAMS.bands} bands x {PARAMS.rows} rows, estimate >= {PARAMS.similarity}")
    print(f"{'true similarity':<18}{'shares a band':>15}{'is found':>10}")
    for s in (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95):
        equal = rng.random((20_000, PARAMS.bands, PARAMS.rows)) < s
        band, enough = equal.all(2).any(1), equal.mean((1, 2)) >= PARAMS.similarity
        print(f"{s:<18}{band.mean():>15.3f}{(band & enough).mean():>10.3f}")


def sampled_solutions() -> None:
    """Four models' solutions of the same problems: what is taken out, and how similar that truly is."""
    path = DATA / "gsm8k_model_solutions.jsonl"
    if not path.is_file():
        print(f"\nsolutions of four models: left out, no {path.name}")
        return
    rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    texts = [v["solution"] for row in rows for k, v in row.items() if k not in ("question", "ground_truth")]
    found = ours(texts)
    true = sorted(jaccard(texts[a], texts[b]) for a, b in found)
    lowest = ", ".join(f"{t:.2f}" for t in true[:3])
    print(f"\n{len(texts):,} solutions of four models: {len(found)} leave; lowest true similarities: {lowest}")


def main() -> None:
    """Print the S-curve, a line for each set and method, and whether the bounds hold."""
    s_curve()
    ours(documents(10))  # compiled and warm
    long, short = documents(DOCUMENTS), random.Random(5).sample(solutions(), DOCUMENTS)
    print(f"\n{'2 % of words changed':<26}{'docs/core-second':>18}{'recall':>9}{'other pairs':>13}{'false':>7}")
    good = []
    for name, texts in ((f"{np.mean([len(t) for t in x]):,.0f} characters", x) for x in (long, short)):
        given = with_copies(texts, 0.02)
        rate, found = measured(ours, given)
        recall, others, wrong = told(given, DOCUMENTS, COPIES, found)
        print(f"{'ours, ' + name:<26}{rate:>18,.0f}{recall:>9.3f}{others:>13}{wrong:>7}")
        good.append(rate >= BOUND and recall >= RECALL and wrong == 0)
    for name, peer, count in (("rensa", rensa_pairs, DOCUMENTS), ("datasketch", datasketch_pairs, FEW)):
        given = [*long[:count], *(changed(t, 0.02, i) for i, t in enumerate(long[: min(count, COPIES)]))]
        try:
            rate, found = measured(peer, given)
        except ImportError:
            print(f"{name}: left out, not installed")
            continue
        recall, others, wrong = told(given, count, min(count, COPIES), found)
        print(f"{f'{name}, {len(given):,} of the first':<26}{rate:>18,.0f}{recall:>9.3f}{others:>13}{wrong:>7}")
    print(f"{BOUND:,} a core-second, recall {RECALL} and no false pair: {all(good)}")
    sampled_solutions()


if __name__ == "__main__":
    main()
