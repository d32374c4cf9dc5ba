"""Documents decontaminated a core-second, ours against a plain Python set of 10-grams, planted cases found and others.

python -m benchmarks.decontamination      3,000 documents of 4 kB against 2,000 questions; needs nothing but the project
"""

import random
import re
import time
from collections.abc import Callable

import polars as pl

from benchmarks.texts import HAN, documents, held_out
from r1data.cleaning_params import DecontaminationParams
from r1data.steps.decontaminate import contaminated
from schemas import TABLES

DOCUMENTS, QUESTIONS, PLANTED, NGRAM = 3_000, 2_000, 60, 10
BOUND = 8_000
SHORT = ["Who was the second emperor of Nowhere?", "What is 17 * 23 - 4 in base six?", "一加一等于几呢"]
CHINESE = ["".join(random.Random(i).choices(HAN, k=40)) for i in range(20)]
_WORD = re.compile(r"\w+")


def planted() -> tuple[pl.DataFrame, set[str], set[str]]:
    """PROBLEMS of both splits, the ids of the planted ones, and those of them that are a run of English words."""
    rng, texts, items = random.Random(4), documents(DOCUMENTS), held_out(QUESTIONS)
    chosen = rng.sample(range(DOCUMENTS), PLANTED)
    english = set(chosen[: PLANTED // 2])
    for n, i in enumerate(chosen):
        at = rng.randrange(len(texts[i]))
        text = _excerpt(rng, items) if i in english else _other(rng, n)
        texts[i] = f"{texts[i][:at]}\n{text}\n{texts[i][at:]}"
    columns = {f.name: "" for f in TABLES["problems"].schema} | {"kind": "math"}
    train = [columns | {"problem_id": f"t{i}", "question": t, "split": "train"} for i, t in enumerate(texts)]
    held = [*items, *SHORT, *CHINESE]
    asked = [columns | {"problem_id": f"b{i}", "question": t, "split": "eval"} for i, t in enumerate(held)]
    return pl.DataFrame([*train, *asked]), {f"t{i}" for i in chosen}, {f"t{i}" for i in english}


def _excerpt(rng: random.Random, items: list[str]) -> str:
    """Ten to twenty words of a question, spelled a little differently."""
    words = _WORD.findall(rng.choice(items))
    size = min(rng.randint(NGRAM, 2 * NGRAM), len(words))
    first = rng.randrange(len(words) - size + 1)
    text = " ".join(words[first : first + size])
    return text.capitalize().replace(" ", ", ", 1)


def _other(rng: random.Random, n: int) -> str:
    """A short question whole, or ten characters of a Chinese one."""
    if n % 2:
        return rng.choice(SHORT)
    first = rng.randrange(30)
    return rng.choice(CHINESE)[first : first + NGRAM]


def ours(problems: pl.DataFrame) -> set[str]:
    """The product's step, index and evidence included."""
    return set(contaminated(params=DecontaminationParams(ngram=NGRAM), problems=problems)["row_id"])


def peer(problems: pl.DataFrame) -> set[str]:
    """Joined 10-grams in a set; neither short questions nor Chinese."""
    known = {gram for text in problems.filter(pl.col("split") == "eval")["question"] for gram in _grams(text)}
    train = problems.filter(pl.col("split") == "train").select("problem_id", "question")
    return {i for i, text in train.iter_rows() if not known.isdisjoint(_grams(text))}


def _grams(text: str) -> list[str]:
    words = _WORD.findall(text.lower())
    return [" ".join(words[i : i + NGRAM]) for i in range(len(words) - NGRAM + 1)]


def measured(work: Callable[[pl.DataFrame], set[str]], problems: pl.DataFrame) -> tuple[float, set[str]]:
    """(documents a second of CPU time, the best of three, what was found)."""
    took = []
    for _ in range(3):
        before = time.process_time()
        found = work(problems)
        took.append(time.process_time() - before)
    return DOCUMENTS / min(took), found


def main() -> None:
    """Print a line each for us and the peer, and whether the bound holds."""
    problems, all_planted, english = planted()
    size = problems.filter(pl.col("split") == "train")["question"].str.len_bytes().mean()
    print(f"{DOCUMENTS:,} documents of {size:,.0f} bytes, {problems.height - DOCUMENTS:,} questions, {PLANTED} planted")
    ours(problems)  # compiled and warm
    print(f"{'':<28}{'docs/core-second':>18}{'planted found':>16}{'extra':>8}")
    rates = {}
    for name, work, wanted in (("ours", ours, all_planted), ("Python set (English runs)", peer, english)):
        rates[name], found = measured(work, problems)
        told = f"{len(found & wanted)}/{len(wanted)}"
        print(f"{name:<28}{rates[name]:>18,.0f}{told:>16}{len(found - all_planted):>8}")
        if name == "ours":
            good = found == all_planted and rates[name] >= BOUND
    print(f"ratio {rates['ours'] / min(rates.values()):.1f}; bound of {BOUND:,} with all found and none extra: {good}")


if __name__ == "__main__":
    main()
