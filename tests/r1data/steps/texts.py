"""Texts to plant things in: long enough to look real, different enough to share nothing by chance."""

import random
import re

from schemas import TABLES

WORDS = [a + b + c for a in ("ba", "ke", "li", "mo", "su") for b in ("ra", "ne", "ti") for c in ("n", "x", "lo", "da")]
HAN = "的一是不了人我在有他这中大来上个国和也子时道说出要于就下得可你年生自会那后能对着事其里所去行过家学如分好多"
KANA = "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわアイウエオカキクケコ"


def prose(seed: int, words: int = 60) -> str:
    """Made-up words."""
    rng = random.Random(seed)
    return " ".join(rng.choice(WORDS) + rng.choice(WORDS) for _ in range(words))


def characters(seed: int, alphabet: str, count: int = 120) -> str:
    """Text without blanks."""
    return "".join(random.Random(seed).choices(alphabet, k=count))


def code(seed: int) -> str:
    """A program."""
    rng = random.Random(seed)
    lines = [f"    {rng.choice(WORDS)}_{i} = {rng.choice(WORDS)}({rng.randrange(999)}) * {i}" for i in range(12)]
    return f"def {rng.choice(WORDS)}(x):\n" + "\n".join(lines) + "\n    return x\n"


def changed(text: str, share: float, seed: int) -> str:
    """A copy with some of its words (characters, where there are no blanks) replaced."""
    rng = random.Random(seed)
    parts = re.split(r"(\W+)", text) if " " in text else list(text)
    words = [i for i, part in enumerate(parts) if re.match(r"\w", part)]
    for i in rng.sample(words, max(1, round(share * len(words)))):
        parts[i] = f"zz{rng.randrange(10**6)}" if " " in text else rng.choice("龍虎鳥魚馬")
    return "".join(parts)


def problem_row(problem_id: str, question: str | None, split: str = "train", **columns: str) -> dict[str, str | None]:
    """A row of PROBLEMS."""
    row: dict[str, str | None] = {f.name: "" for f in TABLES["problems"].schema}
    return row | {"problem_id": problem_id, "question": question, "split": split, "kind": "math", **columns}
