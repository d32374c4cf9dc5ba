"""What the stand-in for a model says: the same prompt and seed give the same answer, always.

Sums in R1's pattern: right six times in ten, formatted eight in ten, in the other language three in ten.
Asked for a function that returns x + N it writes one, right six times in ten.
As a chat model it is a teacher that gives back the thought it was shown (translated, if it is told to), with the last
number in it as the answer; asked to solve a sum it answers like the model; asked for the thinking behind a response it
repeats how the request begins. It is a judge: of an answer, whether the reference stands in it; of a pair, the shorter
one. To "mumble" it replies no JSON. Asked for test inputs it writes a program that prints pairs of numbers.
"""

import json
import random
import re

from r1data.digest import seed_from
from r1data.steps.arithmetic import rewritten

_SUM = re.compile(r"(\d+)\s*([-+加减])\s*(\d+)")
_FUNCTION = re.compile(r"function (\w+)\(x\) that returns x \+ (\d+)")
_HAN = re.compile("[\u4e00-\u9fff]")
_SHOWN = re.compile(r"## Thought process\n(.*?)\n\n## Task", re.DOTALL)
_REFERENCE = re.compile(r"## Reference answer\n(.*?)\n\n## Answer to be evaluated\n(.*?)\n\n## Labels", re.DOTALL)
_ANSWERED = re.compile(r"## Request\n(.*?)\n\n## Response\n.*?\n\n## Task\nWrite the thinking", re.DOTALL)
_TO_SOLVE = re.compile(r".*## Question\n(.*?)\n\n## (?:Response\s*\Z|Task\nSolve)", re.DOTALL)
_PAIR = re.compile(r"## Response A\n(.*?)\n\n## Response B\n(.*?)\n\nNothing in", re.DOTALL)


def answer(prompt: str, seed: int, mix: tuple[float, float] | None = None) -> str:
    """The completion of a prompt under a seed; with `mix` each prompt's share of right sums is drawn from Beta(mix)."""
    rng = random.Random(seed_from("fake", prompt, seed))
    share = random.Random(seed_from("difficulty", prompt)).betavariate(*mix) if mix else 0.6
    wanted = _FUNCTION.search(prompt)
    if wanted:
        value = wanted[2] if rng.random() < 0.6 else "1"
        return (
            f"<think>take x and then add {value} to it</think><answer>def {wanted[1]}(x): return x + {value}</answer>"
        )
    found = _SUM.search(prompt)
    if not found:
        return rng.choice(["Hello, can I help?", "Sorry, I can not.", "It is 4711.", "你好,我能说中文。", "再见。"])
    a, op, b = int(found[1]), found[2], int(found[3])
    value = a + b if op in "+加" else a - b
    if rng.random() >= share:
        value += rng.choice([-10, -1, 1, 10])
    chinese = (op in "加减") != (rng.random() < 0.3)
    word = {"+": "plus", "-": "minus", "加": "plus", "减": "minus"}[op]
    thought = f"{a}{'加' if word == 'plus' else '减'}{b}得{value}" if chinese else f"{a} {word} {b} is {value}"
    if rng.random() < 0.8:
        return f"<think>{thought}</think><answer>{value}</answer>"
    return f"{thought}. {value}"


def refined(prompt: str) -> str:
    """What the teacher makes of the thought in its prompt."""
    shown = _SHOWN.search(prompt)
    thought = shown[1].strip() if shown else ""
    if "Translate the thinking process" in prompt:
        thought = rewritten(thought, "zh" if _HAN.search(prompt[: shown.start()] if shown else "") else "en")
    numbers = re.findall(r"\d+", thought)
    return f"<think>{thought}</think>So it is {numbers[-1]}.<answer>{numbers[-1]}</answer>" if numbers else "I can not."


def replied(prompt: str) -> str:
    """The chat answer: the judge's where a judgement is asked for, else the teacher's."""
    if asked := _ANSWERED.search(prompt):
        return "No." if "mumble" in prompt else f"<think>They ask: {asked[1][:40]}</think>"
    if to_solve := _TO_SOLVE.match(prompt):
        return answer(to_solve[1], 0)
    answered, pair = _REFERENCE.search(prompt), _PAIR.search(prompt)
    if answered:
        verdict = "correct" if answered[1].strip() in answered[2] else "incorrect"
    elif pair:
        a, b = len(pair[1]), len(pair[2])
        verdict = (
            "A=B" if a == b else f"A{'>>' if 2 * a <= b else '>'}B" if a < b else f"B{'>>' if 2 * b <= a else '>'}A"
        )
    else:
        return GENERATOR if "prints test inputs" in prompt else refined(prompt)
    return "It is hard to say." if "mumble" in prompt else json.dumps({"reason": "scripted", "verdict": verdict})


GENERATOR = """Here it is:
```python
import json, random
random.seed(7)
pairs = [(0, 0), (1, 1), (-1, 1)] + [(random.randint(-9, 9), random.randint(-9, 9)) for _ in range(8)]
print(json.dumps([f"{a} {b}\\n" for a, b in pairs] + ["no numbers\\n"]))
```"""


def rest_of_answer(begun: str, seed: int) -> str:
    """What is still to be said after a prompt with the beginning of its answer."""
    for end in range(len(begun)):
        whole = answer(begun[:end], seed)
        if whole.startswith(begun[end:]):
            return whole[len(begun) - end :]
    return answer(begun, seed)
