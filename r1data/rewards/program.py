"""The program in a completion: the last fenced block of the answer, else of the summary; never of the thought."""

import re

from r1data.rewards.format import answer_text, summary

_FENCED = re.compile(
    r"^[ \t]*```[ \t]*(?:python3?|py)?[ \t]*\n(.*?)^[ \t]*```[ \t]*$", re.DOTALL | re.MULTILINE | re.IGNORECASE
)


def program_of(completion: str) -> tuple[str | None, str]:
    """The program and how it was found; None with the reason: `no_code`, or why there is no answer."""
    if "<answer>" in completion:
        answer, how = answer_text(completion)
        if answer is None:
            return None, how
        fenced = _FENCED.findall(answer + "\n")
        return (fenced[-1], "answer_fence") if fenced else (answer, "answer_tag")
    fenced = _FENCED.findall(summary(completion) + "\n")
    return (fenced[-1], "fence") if fenced else (None, "no_code")
