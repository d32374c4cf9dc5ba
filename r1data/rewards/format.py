r"""The parts of a completion in R1's pattern: `<think>thought</think>summary<answer>answer</answer>`.

The final answer, in this order: one `<answer>`, the last `\boxed{}`, "answer is" ("Answer:", "A:", 答案), a last line.
"""

import re

# anything but R1's tags and special tokens: `a < b` and `List<int>` are no tags
_ANY = r"(?:[^<]|<(?!/?(?:think|answer|pad|s|unk|bos|eos)>|\|))"
_FORMAT = re.compile(rf"<think>{_ANY}+</think>{_ANY}*<answer>{_ANY}+</answer>", re.DOTALL)
_THOUGHT = re.compile(r"<think>(.*?)</think>", re.DOTALL)
_OPEN_THOUGHT = re.compile(r"<think>.*\Z", re.DOTALL)
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_TAG = re.compile(r"</?(?:think|answer)>")
# what follows it, to the end of the line, is the answer; the last on a line counts
_SAYS = re.compile(
    r"answer[ \t]+is\b|answer[ \t]?[:：]|答案(?:是|为)?|^[ \t]{0,8}A[ \t]?[:：]|^[ \t]{0,8}答[:：]", re.IGNORECASE
)
_WORDS = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}")
_HAN = re.compile(r"[\u4e00-\u9fff]")
SHORT = 40
_PLAIN = re.compile(r"[-+]?[\d.,/ ]*\d[%]?")


def format_ok(completion: str, finish_reason: str) -> bool:
    """Whether a completion ended by itself and is a thought, an optional summary and an answer, each once."""
    return finish_reason == "stop" and _FORMAT.fullmatch(completion.strip()) is not None


def thought(completion: str) -> str | None:
    """The chain of thought, or None where there is none."""
    found = _THOUGHT.search(completion, 0, _closed(completion, "</think>"))
    return found.group(1).strip() if found else None


def summary(completion: str) -> str:
    """What stands outside the thought, answer tags removed: what the helpful reward model sees (paper 3.1)."""
    return _outside(completion).replace("<answer>", " ").replace("</answer>", "").strip()


def answer_in_summary(completion: str) -> bool | None:
    """Whether what the summary says beside its answer tags states the answer; None without the one or the other."""
    said, answer = _untagged(_outside(completion)), answer_text(completion)[0]
    if answer is None or not any(c.isalnum() for c in said):
        return None
    return re.search(rf"(?<!\d){re.escape(answer)}(?!\d)", said) is not None


def answer_text(completion: str) -> tuple[str | None, str]:
    """The final answer as written and how it was found; None with `several_answers`, `nested_tags` or `no_answer`."""
    tagged = [a.strip() for a in _ANSWER.findall(completion, 0, _closed(completion, "</answer>"))]
    if any(_TAG.search(a) for a in tagged):
        return None, "nested_tags"  # not left to the verifier: a policy must not earn "undecided" by torn tags
    if tagged and not any(tagged):
        return None, "no_answer"
    if tagged:
        return (tagged[0], "answer_tag") if len(set(tagged)) == 1 else (None, "several_answers")
    return answer_in(_outside(completion).strip())


def _outside(completion: str) -> str:
    """What is not in a thought, finished or not."""
    end = _closed(completion, "</think>")
    return _OPEN_THOUGHT.sub("", _THOUGHT.sub("", completion[:end]) + completion[end:])


def _untagged(text: str) -> str:
    end = _closed(text, "</answer>")
    return _ANSWER.sub(" ", text[:end]) + text[end:]


def _closed(text: str, tag: str) -> int:
    """Where the last such tag ends: beyond it a search for pairs would try every opening one, in quadratic time."""
    return text.rfind(tag) + len(tag) if tag in text else 0


def answer_in(text: str) -> tuple[str | None, str]:
    """The final answer that a text without tags states, and how; None with `no_answer`."""
    boxed = _last_boxed(text)
    if boxed is not None:
        return boxed, "boxed"
    for line in reversed(text.splitlines()):
        marks = list(_SAYS.finditer(line))
        said = line[marks[-1].end() :].strip(" \t:：").rstrip(".。").strip() if marks else ""
        if said:
            return said, "answer_is"
    last = text.splitlines()[-1].strip() if text else ""
    return (last, "last_line") if _PLAIN.fullmatch(last) else (None, "no_answer")


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
