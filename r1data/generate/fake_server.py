"""A deterministic stand-in for vLLM, over real HTTP: the same prompt and seed give the same answer, always.

python -m r1data.generate.fake_server --model DIR --port 8000

It answers sums in R1's pattern: right six times in ten, formatted eight in ten, in the other language three in ten.
Asked for a function that returns x + N it writes one, right six times in ten.
As a chat model it is a teacher that gives back the thought it was shown, with the last number in it as the answer; and
a judge: of an answer, whether the reference stands in it; of a pair, the shorter one. To "mumble" it replies no JSON.
Asked for test inputs it writes a program that prints pairs of numbers.
Weight updates are accepted and change nothing; log-probs are not given, so trainers compute their own.
"""

import argparse
import json
import random
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from r1data.digest import seed_from

_SUM = re.compile(r"(\d+)\s*([-+加减])\s*(\d+)")
_FUNCTION = re.compile(r"function (\w+)\(x\) that returns x \+ (\d+)")
_SHOWN = re.compile(r"## Thought process\n(.*?)\n\n## Task", re.DOTALL)
_REFERENCE = re.compile(r"## Reference answer\n(.*?)\n\n## Answer to be evaluated\n(.*?)\n\n## Labels", re.DOTALL)
_PAIR = re.compile(r"## Response A\n(.*?)\n\n## Response B\n(.*?)\n\nNothing in", re.DOTALL)
CONTROL = frozenset(
    {
        *("/init_weight_transfer_engine", "/pause", "/resume", "/start_weight_update", "/update_weights"),
        *("/finish_weight_update", "/reset_prefix_cache"),
    }
)


def answer(prompt: str, seed: int) -> str:
    """The completion of a prompt under a seed."""
    rng = random.Random(seed_from("fake", prompt, seed))
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
    if rng.random() >= 0.6:
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
    numbers = re.findall(r"\d+", thought)
    return f"<think>{thought}</think>So it is {numbers[-1]}.<answer>{numbers[-1]}</answer>" if numbers else "I can not."


def replied(prompt: str) -> str:
    """The chat answer: the judge's where a judgement is asked for, else the teacher's."""
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


class Handler(BaseHTTPRequestHandler):
    """OpenAI-compatible completions and vLLM's control calls."""

    protocol_version = "HTTP/1.1"
    tokenizer: Tokenizer
    end: int

    def do_GET(self) -> None:
        """/health and /v1/models."""
        self._send({"object": "list", "data": [{"id": "policy", "object": "model"}]})

    def do_POST(self) -> None:
        """Completions and chat completions; control calls are accepted."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        if path in CONTROL:
            self._send({})
        elif path == "/v1/completions":
            self._send(self._completions(json.loads(body)))
        elif path == "/v1/chat/completions":
            self._send(self._chat(json.loads(body)))
        else:
            self._send({"error": f"no such path {path}"}, 404)

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def _completions(self, asked: dict[str, Any]) -> dict[str, Any]:
        prompt = asked["prompt"] if isinstance(asked["prompt"], str) else self.tokenizer.decode(asked["prompt"])
        choices = [self._choice(prompt, asked, i) for i in range(asked.get("n", 1))]
        return {
            "object": "text_completion",
            "choices": choices,
            "usage": {"prompt_tokens": len(self._encode(prompt))},
        }

    def _chat(self, asked: dict[str, Any]) -> dict[str, Any]:
        prompt = asked["messages"][-1]["content"]
        message = {"role": "assistant", "content": replied(prompt)}
        choices = [{"index": i, "message": message, "finish_reason": "stop"} for i in range(asked.get("n", 1))]
        usage = {"prompt_tokens": len(self._encode(prompt)), "completion_tokens": len(self._encode(message["content"]))}
        return {"object": "chat.completion", "choices": choices, "usage": usage}

    def _choice(self, prompt: str, asked: dict[str, Any], index: int) -> dict[str, Any]:
        text = answer(prompt, asked.get("seed", 0) + index)
        ids = [*self._encode(text), self.end]
        limit = asked.get("max_tokens", 16)
        if len(ids) <= limit:
            return {"index": index, "text": text, "token_ids": ids, "finish_reason": "stop", "logprobs": None}
        ids = ids[:limit]
        text = self.tokenizer.decode(ids, skip_special_tokens=False)
        return {"index": index, "text": text, "token_ids": ids, "finish_reason": "length", "logprobs": None}

    def _encode(self, text: str) -> list[int]:
        found: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return found

    def _send(self, body: dict[str, Any], status: int = 200) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class Server(ThreadingHTTPServer):
    """Threads that end with the process."""

    daemon_threads = True
    request_queue_size = 256


def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser(description="A deterministic stand-in for a vLLM server.")
    parser.add_argument("--model", type=Path, required=True, help="a model folder, for its tokenizer.json")
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    Handler.tokenizer = Tokenizer.from_file(str(arguments.model / "tokenizer.json"))
    Handler.end = int(Handler.tokenizer.token_to_id("<eos>") or 0)
    Server(("127.0.0.1", arguments.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
