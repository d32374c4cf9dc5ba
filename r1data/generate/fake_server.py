"""A deterministic stand-in for vLLM, over real HTTP: what it says is in `fake_answers`.

python -m r1data.generate.fake_server --model DIR --port 8000 [--token-ms 5] [--max-model-len 4096]

Weight updates change no answer, but are checked as vLLM's are: names and shapes must be the model's, and nobody is
answered meanwhile. Log-probs are not given, so trainers compute their own. With --token-ms an answer takes so long for
each of its tokens, and --max-num-seqs of them are worked on at a time, as in vLLM.
"""

import argparse
import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from aiohttp import web
from tokenizers import Tokenizer

from r1data.errors import ModelError
from r1data.generate.fake_answers import answer, replied, rest_of_answer
from r1data.model_folder import MISFIT, misfits, weight_files, weight_shapes

Handler = Callable[[web.Request], Awaitable[web.Response]]


class FakeWeights:
    """vLLM's control calls, as a state: nobody is answered between pause and resume, an update is whole or fails."""

    def __init__(self, model: Path) -> None:
        self.shapes = given_shapes(model)
        self.version, self.given = "default", set[str]()
        self.updating = False
        self.running = asyncio.Event()
        self.running.set()

    def routes(self) -> list[web.RouteDef]:
        """All paths."""
        posts: dict[str, Handler] = {"/init_weight_transfer_engine": self.accept, "/reset_prefix_cache": self.accept}
        posts |= {"/pause": self.pause, "/resume": self.resume, "/start_weight_update": self.start}
        posts |= {"/update_weights": self.update, "/finish_weight_update": self.finish}
        told = [web.get("/weight_info", self.info), web.get("/is_paused", self.info)]
        return told + [web.post(path, handler) for path, handler in posts.items()]

    async def accept(self, _: web.Request) -> web.Response:
        """Nothing to do."""
        return web.json_response({})

    async def info(self, _: web.Request) -> web.Response:
        """What the weights are."""
        return web.json_response({"weight_version": self.version, "is_paused": not self.running.is_set()})

    async def pause(self, _: web.Request) -> web.Response:
        """Requests wait."""
        self.running.clear()
        return web.json_response({})

    async def resume(self, _: web.Request) -> web.Response:
        """Requests go on."""
        self.running.set()
        return web.json_response({})

    async def start(self, _: web.Request) -> web.Response:
        """A new update; there is none yet."""
        if self.updating:
            return self._failed("start_weight_update called while a weight update is already active")
        self.updating, self.given = True, set()
        return web.json_response({})

    async def update(self, request: web.Request) -> web.Response:
        """Some of the weights; a wrong one ends the update."""
        told = (await request.json())["update_info"]
        try:
            found = {} if told.get("given_up") else given_shapes(Path(told["path"]))
        except ModelError as e:
            return self._failed(str(e))
        unknown = sorted(found.keys() - self.shapes.keys()) if self.shapes else []
        wrong = misfits(found, self.shapes) or (f"it has no {', '.join(unknown[:3])}" if unknown else "")
        if wrong or not self.updating or told.get("given_up"):
            return self._failed(f"{MISFIT}: {wrong}" if wrong else "no weight update, or one given up")
        self.given |= found.keys()
        return web.json_response({})

    async def finish(self, request: web.Request) -> web.Response:
        """The weights are whole."""
        missing = sorted(self.shapes.keys() - self.given)
        if missing:
            return self._failed(f"{MISFIT}: missing {', '.join(missing[:3])}")
        self.updating, self.version = False, (await request.json())["weight_version"]
        return web.json_response({})

    def _failed(self, told: str) -> web.Response:
        self.updating = False
        return web.json_response({"error": {"message": told, "code": 500}}, status=500)


def given_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """As `weight_shapes`, without files that are empty: a stand-in of a model folder has such."""
    return {n: shape for f in weight_files(path) if f.stat().st_size for n, shape in weight_shapes(f).items()}


class FakeServer:
    """OpenAI-compatible completions and vLLM's control calls."""

    def __init__(
        self, model: Path, token_ms: float, max_model_len: int, max_num_seqs: int, mix: tuple[float, float] | None
    ) -> None:
        self.tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
        self.end = int(self.tokenizer.token_to_id("<eos>") or 0)
        self.token_ms, self.max_model_len = token_ms, max_model_len
        self.places = asyncio.Semaphore(max_num_seqs)
        self.tokens, self.mix = 0, mix
        self.weights = FakeWeights(model)
        self.encode = lru_cache(maxsize=100_000)(self._encode)

    def routes(self) -> list[web.RouteDef]:
        """All paths."""
        found = [web.get("/health", self.models), web.get("/v1/models", self.models), web.get("/metrics", self.metrics)]
        found += [web.post("/v1/completions", self.completions), web.post("/v1/chat/completions", self.chat)]
        return found + self.weights.routes()

    async def models(self, _: web.Request) -> web.Response:
        """The one model."""
        return web.json_response({"object": "list", "data": [{"id": "policy", "object": "model"}]})

    async def metrics(self, _: web.Request) -> web.Response:
        """vLLM's counter of generated tokens."""
        return web.Response(text=f'vllm:generation_tokens_total{{engine="0"}} {float(self.tokens)}\n')

    async def completions(self, request: web.Request) -> web.Response:
        """/v1/completions: n children of a prompt in text or token ids."""
        asked = await request.json()
        await self.weights.running.wait()
        given = asked["prompt"]
        prompt = given if isinstance(given, str) else self.tokenizer.decode(given, skip_special_tokens=False)
        ids = list(given) if isinstance(given, list) else list(self.encode(prompt))
        if (wanted := len(ids) + asked.get("max_tokens", 16)) > self.max_model_len:
            told = f"This model's maximum context length is {self.max_model_len} tokens, you asked for {wanted}."
            return web.json_response({"error": {"message": told, "code": 400}}, status=400)
        children = range(asked.get("n", 1))
        texts = [self._text(given, prompt, asked.get("seed", 0) + i) for i in children]
        if self.token_ms:
            choices = await asyncio.gather(*(self._slowly(i, texts[i], asked, ids) for i in children))
        else:
            choices = [self._choice(i, texts[i], asked, ids) for i in children]
        usage = {"prompt_tokens": len(ids)}
        return web.json_response({"object": "text_completion", "choices": choices, "usage": usage})

    async def chat(self, request: web.Request) -> web.Response:
        """/v1/chat/completions: teacher, judge and writer of tests."""
        asked = await request.json()
        await self.weights.running.wait()
        prompt = asked["messages"][-1]["content"]
        message = {"role": "assistant", "content": replied(prompt)}
        choices = [{"index": i, "message": message, "finish_reason": "stop"} for i in range(asked.get("n", 1))]
        usage = {"prompt_tokens": len(self.encode(prompt)), "completion_tokens": len(self.encode(message["content"]))}
        return web.json_response({"object": "chat.completion", "choices": choices, "usage": usage})

    def _text(self, given: str | list[int], prompt: str, seed: int) -> str:
        return answer(prompt, seed, self.mix) if isinstance(given, str) else rest_of_answer(prompt, seed)

    async def _slowly(self, index: int, text: str, asked: dict[str, Any], prompt: list[int]) -> dict[str, Any]:
        async with self.places:
            found = self._choice(index, text, asked, prompt)
            await asyncio.sleep(len(found["token_ids"]) * self.token_ms / 1000)
        return found

    def _choice(self, index: int, text: str, asked: dict[str, Any], prompt: list[int]) -> dict[str, Any]:
        ids, limit, reason = [*self.encode(text), self.end], asked.get("max_tokens", 16), "stop"
        if len(ids) > limit:
            ids, reason = ids[:limit], "length"
            text = self.tokenizer.decode(ids, skip_special_tokens=False)
        self.tokens += len(ids)
        told = {"index": index, "text": text, "token_ids": ids, "finish_reason": reason, "logprobs": None}
        return {**told, "prompt_token_ids": prompt} if index == 0 or reason == "length" else told

    def _encode(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer.encode(text, add_special_tokens=False).ids)


async def serve(server: FakeServer, port: int) -> None:
    """Serve on loopback until ended."""
    application = web.Application(client_max_size=1 << 28)
    application.add_routes(server.routes())
    async with _running(application, port):
        await asyncio.Event().wait()


@contextlib.asynccontextmanager
async def _running(application: web.Application, port: int) -> AsyncIterator[None]:
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port, backlog=4096).start()
        yield
    finally:
        await runner.cleanup()


async def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser(description="A deterministic stand-in for a vLLM server.")
    parser.add_argument("--model", type=Path, required=True, help="a model folder, for its tokenizer.json")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--token-ms", type=float, default=0.0, help="time that each token of an answer takes")
    parser.add_argument("--max-model-len", type=int, default=1 << 20, help="longest prompt and answer, in tokens")
    parser.add_argument("--max-num-seqs", type=int, default=256, help="answers worked on at a time")
    parser.add_argument("--mix", type=float, nargs=2, help="prompts' shares of right sums are drawn from Beta(A, B)")
    told = parser.parse_args()
    mix = (told.mix[0], told.mix[1]) if told.mix else None
    await serve(FakeServer(told.model, told.token_ms, told.max_model_len, told.max_num_seqs, mix), told.port)


if __name__ == "__main__":
    asyncio.run(main())
