"""Documents of about 4 kB and benchmark questions to find in them: GSM8K, AIME and Minerva, else made-up words."""

import json
import random
import re
from functools import cache
from pathlib import Path

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
HAN = "的一是不了人我在有他这中大来上个国和也子时道说出要于就下得可你年生自会那后能对着事其里所去行过家学如分好多"
SIZES = (2, 4, 8, 16)  # problems with solutions in a document: 4 kB on average


@cache
def solutions() -> list[str]:
    """GSM8K's training problems with their worked solutions; made-up texts of 90 words where they are not at hand."""
    path = DATA / "gsm8k_train.jsonl"
    if path.is_file():
        rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
        return [f"{row['question']}\n{row['answer']}" for row in rows]
    print(f"no {path.name}: made-up words instead")
    words = vocabulary()
    return [" ".join(random.Random(i).choices(words, weights=range(len(words), 0, -1), k=90)) for i in range(7_473)]


def documents(count: int) -> list[str]:
    """Solutions in random order, several to a document."""
    rng, parts = random.Random(1), list(solutions())
    found: list[str] = []
    while len(found) < count:
        rng.shuffle(parts)
        first = 0
        while first < len(parts) - max(SIZES):
            size = rng.choice(SIZES)
            found.append("\n\n".join(parts[first : first + size]))
            first += size
    return found[:count]


def held_out(count: int) -> list[str]:
    """AIME 2024 and Minerva, filled up with questions of 40 to 120 random words."""
    rng, words = random.Random(2), vocabulary()
    real = []
    for path in (DATA / "aime24_test.jsonl", DATA / "minerva_math_test.jsonl"):
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        real += [json.loads(line)["problem"] for line in lines]
    return [*real, *(" ".join(rng.choices(words, k=rng.randint(40, 120))) for _ in range(count - len(real)))]


def vocabulary() -> list[str]:
    """8,000 made-up words."""
    parts = [a + b for a in "bdfgklmnprst" for b in ("a", "e", "i", "o", "u", "ar", "en", "il", "om", "us")]
    rng = random.Random(3)
    return sorted({"".join(rng.choices(parts, k=rng.randint(2, 4))) for _ in range(8_500)})[:8_000]


def changed(text: str, share: float, seed: int) -> str:
    """A copy with a share of its words replaced, one at least."""
    rng = random.Random(seed)
    parts = re.split(r"(\W+)", text)
    words = [i for i, part in enumerate(parts) if re.match(r"\w", part)]
    for i in rng.sample(words, max(1, round(share * len(words)))):
        parts[i] = f"changed{rng.randrange(10**6)}"
    return "".join(parts)
