"""A judge's answer, read strictly: one JSON object with a known verdict, or no vote at all."""

import json
from collections.abc import Collection, Sequence
from typing import Any

from r1data.digest import digest_json

LONGEST = 100_000


def judge_name(model: str, template: str) -> str:
    """Who judged, as rows say it: the model and the hash of the prompt that it was asked with."""
    return f"judge {model} {digest_json(template)[:8]}"


def verdict_in(answer: str, finish_reason: str, allowed: Collection[str]) -> str | None:
    """The verdict of a finished answer that is a JSON object, fenced or bare, with an allowed `verdict`; else None."""
    if finish_reason != "stop" or len(answer) > LONGEST:
        return None
    text = answer.strip()
    if text.startswith("```") and text.endswith("```") and "\n" in text:
        first, _, rest = text.partition("\n")
        text = rest.removesuffix("```") if first.removeprefix("```").strip() in ("", "json") else text
    try:
        found = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    verdict = found.get("verdict") if isinstance(found, dict) else None
    return verdict if isinstance(verdict, str) and verdict in allowed else None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def majority(votes: Sequence[str | None]) -> tuple[str | None, str]:
    """What most of the readable votes say; None with `no_judgement`, `unreadable_judgement` or `votes_tie`."""
    read = [v for v in votes if v is not None]
    if not read:
        return None, "unreadable_judgement" if votes else "no_judgement"
    first = max(sorted(set(read)), key=read.count)
    return (first, "") if 2 * read.count(first) > len(read) else (None, "votes_tie")
