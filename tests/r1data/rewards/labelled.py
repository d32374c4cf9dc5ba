"""Texts of several languages whose parts are labelled (`mixed_language.jsonl`): "-" is code, a formula, an address.

The true share of a language is its units in the labelled parts over all, counted one part at a time by a plain rule:
words of two letters or more (one of Hangul), each character of Han and kana. Nothing here is the product's.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

SAMPLES = Path(__file__).with_name("mixed_language.jsonl")
_UNIT = re.compile(r"[぀-ヿ㐀-䶿一-鿿]|[가-힣]+|[^\W\d_぀-ヿ㐀-䶿一-鿿가-힣]{2,}")


@dataclass(frozen=True)
class Labelled:
    """A text, the language that it should be in, and the share of its units that are."""

    name: str
    text: str
    target: str
    share: float


def labelled() -> list[Labelled]:
    """All samples."""
    return [_sample(json.loads(line)) for line in SAMPLES.read_text(encoding="utf-8").splitlines()]


def _sample(row: dict[str, object]) -> Labelled:
    name, target, parts = str(row["name"]), str(row["target"]), row["parts"]
    assert isinstance(parts, list)
    counted = [(language, len(_UNIT.findall(text))) for language, text in parts if language != "-"]
    meant = sum(number for language, number in counted if language == target)
    return Labelled(name, "".join(text for _, text in parts), target, meant / sum(n for _, n in counted))
