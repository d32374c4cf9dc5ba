"""Multiple choice: the letter, the option's text, or both where they agree; several letters are for nobody to say."""

import json
import re
from dataclasses import dataclass

from r1data.rewards.format import answer_text, summary
from r1data.rewards.maths import normalised
from r1data.rewards.score import RuleVerdict

_LETTER = re.compile(r"(?:option|choice|选项?)?\s*[(（]?\s*([A-J])\s*[)）]?", re.IGNORECASE)
_LETTER_AND = re.compile(
    r"(?:option|choice|选项?)?\s*[(（]?\s*([A-J])\s*(?:[)）.:：、=-]+|(?=[\s(（]))\s*(.+)", re.I | re.DOTALL
)
# an article or "I" before a word of a sentence is no choice
_ALONE = re.compile(r"(?<![A-Za-z'’])(?![AI]\s+(?!or\b|and\b)[a-z])([A-J])(?![A-Za-z'’])|[(（]([a-j])[)）]")
_NOT = re.compile(r"\b(?:not|neither|nor|but|except|never)\b|n't\b|不是|并非|除了", re.IGNORECASE)
_MARKS = re.compile(r"\\(?:text|mathrm|mathbf|textbf)\s*\{([^{}]*)\}|[*_`$]")
LONGEST = 2_000


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
        return Choice(found[1].upper(), {}) if found else None
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
        verdict = "wrong" if reason in ("no_option", "negated") else "undecided"
        return RuleVerdict(verdict, reason, answer, "choice")
    return RuleVerdict("correct" if chosen == choice.answer else "wrong", "", chosen, "choice")


def chosen_letter(answer: str, options: dict[str, str]) -> tuple[str | None, str]:
    """The letter that an answer stands for, or None: `several_letters`, `contradiction`, `no_option`, `negated`."""
    text = _bare(answer)
    found = _LETTER.fullmatch(text)
    if found and (not options or found[1].upper() in options):
        return found[1].upper(), ""
    for same in (_equal, _alike):
        by_text = [letter for letter, option in options.items() if same(text, option)]
        if len(by_text) == 1:
            return by_text[0], ""
    labelled = _LETTER_AND.fullmatch(text)
    named = _named(labelled[2], options) if labelled else set()
    if labelled and named:
        return (labelled[1].upper(), "") if labelled[1].upper() in named else (None, "contradiction")
    return _in_a_sentence(text, options, found is not None)


def _in_a_sentence(text: str, options: dict[str, str], foreign: bool) -> tuple[str | None, str]:
    """The one letter, or the one option's text, that a sentence mentions and does not deny."""
    known = set(options) or set("ABCDEFGHIJ")
    letters = {(a or b).upper() for a, b in _ALONE.findall(text)} & known
    if foreign or (not letters and not _mentioned(text, options)):
        return None, "no_option"
    if len(letters) > 1:
        return None, "several_letters"
    if _NOT.search(text):
        return None, "negated"
    mentioned = _mentioned(text, options)
    if letters:
        return (letters.pop(), "") if mentioned <= letters or not mentioned else (None, "contradiction")
    return (mentioned.pop(), "") if len(mentioned) == 1 else (None, "several_letters")


def _named(rest: str, options: dict[str, str]) -> set[str]:
    """The letters of the options whose text stands after a letter, in brackets or not."""
    return {k for k, v in options.items() if _alike(rest.strip("()（） "), v)}


def _mentioned(text: str, options: dict[str, str]) -> set[str]:
    """The letters of the options that stand in a text as whole words; one-letter options are left to the letters."""
    low = normalised(text).casefold()
    found = {k: normalised(_bare(v)).casefold() for k, v in options.items()}
    return {k for k, v in found.items() if len(v) > 1 and re.search(rf"(?<!\w){re.escape(v)}(?!\w)", low)}


def _bare(text: str) -> str:
    """Without mark-up, "answer is", end of sentence and outer blanks."""
    return normalised(_MARKS.sub(lambda m: m[1] or "", text[:LONGEST]))


def _equal(a: str, b: str) -> bool:
    return bool(b) and _bare(a) == _bare(b)


def _alike(a: str, b: str) -> bool:
    return bool(b) and _bare(a).casefold() == _bare(b).casefold()
