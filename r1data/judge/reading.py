"""A judge's answer, read strictly: one JSON object with a known verdict, or no vote at all."""

import json
import re
from collections.abc import Collection, Sequence

from r1data.digest import digest_json

_FENCE = re.compile(r"```(?:json)?\s*\n(.*)\n\s*```", re.DOTALL)
LONGEST = 100_000


def judge_name(model: str, template: str) -> str:
    """Who judged, as rows say it: the model and the hash of the prompt that it was asked with."""
    return f"judge {model} {digest_json(template)[:8]}"


def verdict_in(answer: str, finish_reason: str, allowed: Collection[str]) -> str | None:
    """The verdict of a finished answer that is a JSON object, fenced or bare, with an allowed `verdict`; else None."""
    text = answer.strip()
    fenced = _FENCE.fullmatch(text)
    if finish_reason != "stop" or len(text) > LONGEST:
        return None
    try:
        found = json.loads(fenced[1] if fenced else text)
    except (ValueError, RecursionError):
        return None
    verdict = found.get("verdict") if isinstance(found, dict) else None
    return verdict if isinstance(verdict, str) and verdict in allowed else None


def majority(votes: Sequence[str | None]) -> tuple[str | None, str]:
    """What most of the readable votes say; None with `no_judgement`, `unreadable_judgement` or `votes_tie`."""
    read = [v for v in votes if v is not None]
    if not read:
        return None, "unreadable_judgement" if votes else "no_judgement"
    first = max(sorted(set(read)), key=read.count)
    return (first, "") if 2 * read.count(first) > len(read) else (None, "votes_tie")
