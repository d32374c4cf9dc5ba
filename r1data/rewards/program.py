"""The program in a completion: a fenced block of the answer, else of what follows the thought; never of the thought."""

import re
import textwrap

_OPENING = re.compile(r"[ \t]*(`{3,}|~{3,})[ \t]*([^`]*)")
Block = tuple[str, str]  # label, text


def program_of(completion: str) -> tuple[str | None, str]:
    """The program and how it was found; None with the reason: `no_code` or `several_answers`.

    The last block labelled as Python, else the last without a label, else the answer itself.
    """
    text = completion.replace("\r\n", "\n")
    if text.lstrip().startswith("<think>") or "</think>" in text:
        text = text.partition("</think>")[2]
    answer = re.search(r"<answer>(.*)</answer>", text, re.DOTALL)
    if answer and "</answer>" in answer[1]:
        return None, "several_answers"
    blocks = fenced_blocks(answer[1] if answer else text)
    for labels in (lambda label: label.startswith("py"), lambda label: not label):
        chosen = [block for label, block in blocks if labels(label)]
        if chosen:
            return chosen[-1], "answer_fence" if answer else "fence"
    return (answer[1].strip("\n"), "answer_tag") if answer and not blocks else (None, "no_code")


def fenced_blocks(text: str) -> list[Block]:
    """Every fenced block with its label in lower case; an unclosed last one ends with the text."""
    found: list[Block] = []
    mark, label, body = "", "", list[str]()
    for line in text.split("\n"):
        stripped = line.strip()
        if mark:
            if stripped.startswith(mark) and not stripped.strip(mark[0]):
                found.append((label, _block(body)))
                mark = ""
            else:
                body.append(line)
        elif opening := _OPENING.fullmatch(line):
            mark, label, body = opening[1], opening[2].strip().lower(), []
    return [*found, (label, _block(body))] if mark else found


def _block(lines: list[str]) -> str:
    return textwrap.dedent("\n".join(lines)) + "\n"
