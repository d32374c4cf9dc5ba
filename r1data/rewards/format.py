r"""The parts of a completion in R1's pattern: `<think>thought</think>summary<answer>answer</answer>`.

The final answer, in this order: one `<answer>`, the last `\boxed{}`, "answer is" ("Answer:", "A:", 答案), a last line.
"""

import re
from array import array
from collections import deque
from collections.abc import Iterator
from itertools import islice

# R1's tags and special tokens: `a < b` and `List<int>` are none
_MARK = re.compile(r"<(?:/?(?:think|answer|pad|s|unk|bos|eos)>|\|)")
_PATTERN = ["<think>", "</think>", "<answer>", "</answer>"]
_TAG = re.compile(r"</?(?:think|answer)>")
# what follows it, to the end of the line, is the answer; the last on a line counts
_SAYS = re.compile(
    r"answer[ \t]+is\b|answer[ \t]?[:：]|答案(?:是|为)?|^[ \t]{0,8}A[ \t]?[:：]|^[ \t]{0,8}答[:：]", re.IGNORECASE
)
_WORDS = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}")
_HAN = re.compile(r"[\u4e00-\u9fff]")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_ZEROS = re.compile(r"(?<=\d)\.0+(?!\d|[.,]\d)")
# letters and digits of scripts that set words apart; Han, kana and Hangul stand beside a number without a space
_JOINED = re.compile(r"[^\W_\u0e00-\u1dff\u2000-\U0010ffff]")
_BEFORE = re.compile(rf"(?:{_JOINED.pattern}|[-\u2212]|\d[.,]|(?:^|[\s$(=])\.)\Z")
_BEHIND = re.compile(rf"{_JOINED.pattern}|[.,]\d|[-\u2212]{_JOINED.pattern}")
SHORT = 40
PIECE = 1 << 16  # characters of lines at a time
_PLAIN = re.compile(r"[-+]?[\d.,/ ]*\d[%]?")


def format_ok(completion: str, finish_reason: str) -> bool:
    """Whether a completion ended by itself and is a thought, an optional summary and an answer, each once."""
    if finish_reason != "stop":
        return False
    text = completion.strip()
    marks = list(islice(_MARK.finditer(text), len(_PATTERN) + 1))
    if [mark.group() for mark in marks] != _PATTERN:
        return False
    opens, thought_ends, answer, ends = (mark.span() for mark in marks)
    said = opens[1] < thought_ends[0] and answer[1] < ends[0]
    return said and opens[0] == 0 and ends[1] == len(text)


def thought(completion: str) -> str | None:
    """The chain of thought, or None where there is none."""
    begin, end = next(_between(completion, "think"), (0, -1))
    return completion[begin:end].strip() if end >= 0 else None


def summary(completion: str) -> str:
    """What stands outside the thought, answer tags removed: what the helpful reward model sees (paper 3.1)."""
    return _outside(completion).replace("<answer>", " ").replace("</answer>", "").strip()


def prose_of(completion: str) -> str:
    """What a completion says outside its thought and its answer, finished or not, without stray tags."""
    return _TAG.sub(" ", _without(_outside(completion), "answer", " ").partition("<answer>")[0])


def answer_in_summary(completion: str) -> bool | None:
    """Whether what the summary says beside its answer tags states the answer; None without the one or the other."""
    said, answer = prose_of(completion), answer_text(completion)[0]
    if not answer or not any(c.isalnum() for c in said):
        return None
    return _states(_folded(said), _folded(answer))


def answer_text(completion: str) -> tuple[str | None, str]:
    """The final answer as written and how it was found; None with `several_answers`, `nested_tags` or `no_answer`."""
    tagged = [completion[begin:end].strip() for begin, end in _between(completion, "answer")]
    if any(_TAG.search(a) for a in tagged):
        return None, "nested_tags"  # not left to the verifier: a policy must not earn "undecided" by torn tags
    if tagged and not any(tagged):
        return None, "no_answer"
    if tagged:
        return (tagged[0], "answer_tag") if len(set(tagged)) == 1 else (None, "several_answers")
    return answer_in(_outside(completion).strip())


def _outside(completion: str) -> str:
    """What is not in a thought, finished or not."""
    return _without(completion, "think", "").partition("<think>")[0]


def _between(text: str, tag: str) -> Iterator[tuple[int, int]]:
    """Begin and end of what stands between each opening tag and the next closing one."""
    opens, closes, end = f"<{tag}>", f"</{tag}>", 0
    while (begin := text.find(opens, end)) >= 0:
        begin += len(opens)
        end = text.find(closes, begin)
        if end < 0:
            return
        yield begin, end
        end += len(closes)


def _without(text: str, tag: str, instead: str) -> str:
    """The text with something else for each pair of tags and what is between."""
    parts, at = [], 0
    for begin, end in _between(text, tag):
        parts.append(text[at : begin - len(tag) - 2])
        at = end + len(tag) + 3
    return instead.join([*parts, text[at:]])


def _folded(text: str) -> str:
    """Numbers written one way: 1,000 and 18.00 are 1000 and 18."""
    return _ZEROS.sub("", _THOUSANDS.sub("", text))


def _states(said: str, answer: str) -> bool:
    """Whether the answer occurs as whole numbers and words."""
    return any(_whole(said, at, at + len(answer)) for at in _places(said, answer))


def _whole(said: str, at: int, end: int) -> bool:
    """Whether no number or word goes on where the piece begins and ends; a digit beside it always counts."""
    before, behind = said[max(0, at - 2) : at], said[end : end + 2]
    if before[-1:].isdecimal() or behind[:1].isdecimal():
        return False
    begun = _JOINED.match(said[at]) and _BEFORE.search(before)
    goes_on = _JOINED.match(said[end - 1]) and _BEHIND.match(behind)
    return not begun and not goes_on


def _places(said: str, answer: str) -> Iterator[int]:
    """Where the answer begins, also within itself; Knuth, Morris and Pratt's search for a long one, which a search
    from each place would read again and again."""
    at = said.find(answer)
    if len(answer) <= SHORT:
        # within the word or number that it begins with, a place has a letter or digit before
        step = max(1, next((i for i, c in enumerate(answer) if not _JOINED.match(c)), len(answer)))
        while at >= 0:
            yield at
            at = said.find(answer, at + step)
        return
    if at < 0:
        return
    known, borders = 0, array("q", [0])
    for c in islice(answer, 1, None):
        while known and c != answer[known]:
            known = borders[known - 1]
        known += c == answer[known]
        borders.append(known)
    known = 0
    for i in range(at, len(said)):
        while known and (known == len(answer) or said[i] != answer[known]):
            known = borders[known - 1]
        known += said[i] == answer[known]
        if known == len(answer):
            yield i + 1 - known


def answer_in(text: str) -> tuple[str | None, str]:
    """The final answer that a text without tags states, and how; None with `no_answer`."""
    boxed = _last_boxed(text)
    if boxed is not None:
        return boxed, "boxed"
    for line in _lines_from_the_end(text):
        last = deque(_SAYS.finditer(line), maxlen=1)
        said = line[last[0].end() :].strip(" \t:：").rstrip(".。").strip() if last else ""
        if said:
            return said, "answer_is"
    final = next(_lines_from_the_end(text), "").strip()
    return (final, "last_line") if _PLAIN.fullmatch(final) else (None, "no_answer")


def _lines_from_the_end(text: str) -> Iterator[str]:
    """`reversed(text.splitlines())`, a piece at a time: a text of millions of lines is no list of them."""
    end = len(text)
    while end:
        begin = text.rfind("\n", 0, max(0, end - PIECE)) + 1
        yield from reversed(text[begin:end].splitlines())
        end = begin


def is_prose(text: str) -> bool:
    """Whether an answer is a whole explanation: more than twenty words, or forty Chinese characters."""
    return len(text) > SHORT and (len(_WORDS.findall(text)) > 20 or len(_HAN.findall(text)) > 40)


def _last_boxed(text: str) -> str | None:
    start = text.rfind(r"\boxed{")
    if start < 0:
        return None
    depth, begin = 1, start + len(r"\boxed{")
    for i in range(begin, len(text)):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if depth == 0:
            return text[begin:i].strip()
    return None
