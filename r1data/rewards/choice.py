"""Multiple choice: the letter, the option's text, or both where they agree; several letters are for nobody to say."""

import json
import re
from dataclasses import dataclass

from r1data.rewards.format import answer_text, summary
from r1data.rewards.maths import normalised
from r1data.rewards.score import RuleVerdict

_LETTER = re.compile(
    r"(?:option|choice|选项?)?\s*[(（]?\s*([A-J])\s*[)）]?\s*(?:[.:：、)）-]\s*(.*)|)", re.IGNORECASE | re.DOTALL
)
_ALONE = re.compile(r"(?<![A-Za-z])([A-J])(?![A-Za-z'’])")
_SAYS = re.compile(r"\\(?:text|mathrm|mathbf|textbf)\s*\{([^{}]*)\}|[*_`$]")


@dataclass(frozen=True)
class Choice:
    """The right letter and the options by letter ({} where only the letter is known)."""

    answer: str
    options: dict[str, str]


def read_choice(gold: str) -> Choice | None:
    """From a bare letter or from JSON `{"answer": "B", "options": {"A": ..., "B": ...}}`; None for anything else."""
    text = gold.strip()
    if not text.startswith("{"):
        found = _LETTER.fullmatch(text)
        return Choice(found[1].upper(), {}) if found and not found[2] else None
    try:
        told = json.loads(text)
        options = {str(k).upper(): str(v) for k, v in told.get("options", {}).items()}
        answer = str(told["answer"]).upper()
    except (ValueError, KeyError, AttributeError):
        return None
    return Choice(answer, options) if answer in options or (not options and re.fullmatch("[A-J]", answer)) else None


def choice_verdict(completion: str, finish_reason: str, gold: str | None) -> RuleVerdict:
    """correct, wrong, or undecided: `several_letters`, `contradiction` (letter of one option, text of another)."""
    if not gold:
        return RuleVerdict("undecided", "no_gold", None, "none")
    choice = read_choice(gold)
    if choice is None:
        return RuleVerdict("undecided", "unparseable_gold", None, "none")
    answer, how = answer_text(completion)
    if answer is None and how == "no_answer":
        last = (summary(completion).splitlines() or [""])[-1].strip()
        answer = last if _LETTER.fullmatch(_bare(last)) else None
    if answer is None:
        return RuleVerdict("wrong", "truncated" if finish_reason != "stop" else how, None, "extraction")
    chosen, reason = chosen_letter(answer, choice.options)
    if chosen is None:
        return RuleVerdict("wrong" if reason == "no_option" else "undecided", reason, answer, "choice")
    return RuleVerdict("correct" if chosen == choice.answer else "wrong", "", chosen, "choice")


def chosen_letter(answer: str, options: dict[str, str]) -> tuple[str | None, str]:
    """The letter that an answer stands for, or None with `several_letters`, `contradiction` or `no_option`."""
    text = _bare(answer)
    by_text = [letter for letter, option in options.items() if _same(text, option)]
    if len(by_text) == 1:
        return by_text[0], ""
    found = _LETTER.fullmatch(text)
    if found and not (found[2] and _ALONE.fullmatch(found[2].strip())):
        letter, rest = found[1].upper(), (found[2] or "").strip()
        named = [other for other, option in options.items() if rest and _same(rest, option)]
        return (letter, "") if letter in named or not named else (None, "contradiction")
    letters = set(_ALONE.findall(text))
    if len(letters) > 1:
        return None, "several_letters"
    inside = [letter for letter, option in options.items() if option and normalised(option) in normalised(text)]
    if len(letters) == 1 and set(inside) <= letters:
        return letters.pop(), ""
    return (None, "contradiction") if letters else (None, "no_option")


def _bare(text: str) -> str:
    """Without mark-up, end of sentence and outer blanks."""
    return _SAYS.sub(lambda m: m[1] or "", text).strip().rstrip(".。").strip()


def _same(a: str, b: str) -> bool:
    return bool(b) and normalised(_bare(a)).casefold() == normalised(_bare(b)).casefold()
