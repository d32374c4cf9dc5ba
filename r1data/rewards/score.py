"""The rule reward of one completion: accuracy, format and language consistency as the recipe's numbers, each named.

Undecided is never a number: the reward is None and the sample leaves its group. A finished completion without an
answer, or a truncated one, is `wrong`: the policy failed to answer, the verifier did not fail to judge.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from r1data.rewards.format import answer_in, answer_text, format_ok, is_prose, thought
from r1data.rewards.language import encoded, language_consistency
from r1data.rewards.maths import LONGEST, compare, unknown_units
from r1data.training_params import RewardParams


@dataclass(frozen=True)
class ProgramFacts:
    """A program beyond pass or fail: parses, lints, ran to its end, share of tests passed, and its speed.

    Speed is the CPU time of the reference solution over its own; each is None where it was not found out.
    """

    parses: bool | None = None
    lints: bool | None = None
    runs: bool | None = None
    share: float | None = None
    speed: float | None = None


@dataclass(frozen=True)
class RuleVerdict:
    """correct, wrong or undecided, with a reason code, the answer as found, and the tier that decided."""

    verdict: str
    reason: str
    answer: str | None
    tier: str
    program: ProgramFacts | None = None


@dataclass(frozen=True)
class Scored:
    """A completion's reward (None: undecided) with its components and measures."""

    reward: float | None
    components: dict[str, float]
    verdict: str
    reason: str
    format_ok: bool
    consistency: float | None
    reflection_words: int


def reflection_words(text: str | None) -> int:
    """How many words of reflection a thought has: the paper's list (C.2), and Chinese words of the same use."""
    return reflections_of([text])[0]


def reflections_of(texts: Sequence[str | None]) -> list[int]:
    """The same of many."""
    # numba takes a second to import
    from r1data.rewards.reflection import reflections

    english = reflections(*encoded([text or "" for text in texts]))
    return [number + _chinese(text or "") for number, text in zip(english, texts, strict=True)]


def _chinese(text: str) -> int:
    """等等 is one word."""
    return text.count("等") - text.count("等等") + text.count("检查") + text.count("错")


def rule_verdict(completion: str, finish_reason: str, gold: str | None) -> RuleVerdict:
    """The verdict of the exact tiers; `undecided/needs_symbolic` where only a computer algebra system could say.

    Numbers with units of which one is unknown (7 apples, 7 oranges) are for nobody to say: `undecided/units`.
    """
    if not gold:
        return RuleVerdict("undecided", "no_gold", None, "none")
    answer, how = answer_text(completion)
    if answer is None:
        reason = "truncated" if finish_reason != "stop" else how
        return RuleVerdict("wrong", reason, None, "extraction")
    if len(answer) > LONGEST >= len(gold):
        return RuleVerdict("wrong", "too_long", answer[:LONGEST], "extraction")
    if is_prose(answer) and not is_prose(gold):
        answer, how = answer_in(answer)
        if answer is None:
            return RuleVerdict("wrong", how, None, "extraction")
    outcome = compare(answer, gold)
    if outcome == "unknown":
        if unknown_units(answer, gold):
            return RuleVerdict("undecided", "units", answer, "exact")
        return RuleVerdict("undecided", "needs_symbolic", answer, "exact")
    return RuleVerdict("correct" if outcome == "equal" else "wrong", "", answer, "exact")


def score_completion(
    completion: str, finish_reason: str, verdict: RuleVerdict, language: str, params: RewardParams
) -> Scored:
    """Score one completion by its verdict; a thought without language units earns no language reward."""
    well_formed = format_ok(completion, finish_reason)
    chain = thought(completion)
    consistency = language_consistency(chain, language)
    components = {
        "accuracy": params.accuracy_correct if verdict.verdict == "correct" else params.accuracy_wrong,
        "format": params.format_ok if well_formed else params.format_bad,
        "language": params.language_weight * (consistency or 0.0),
    }
    if params.speed_weight and verdict.program:
        fast = verdict.program.speed if verdict.verdict == "correct" else None
        components["speed"] = params.speed_weight * min(1.0, fast or 0.0)
    decided = verdict.verdict != "undecided"
    return Scored(
        reward=sum(components.values()) if decided else None,
        components=components if decided else {k: v for k, v in components.items() if k != "accuracy"},
        verdict=verdict.verdict,
        reason=verdict.reason,
        format_ok=well_formed,
        consistency=consistency,
        reflection_words=reflection_words(chain),
    )
