"""One request to an OpenAI-compatible server, and what its answer means: JSON, worth another try, or final."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from json import JSONDecodeError
from typing import Any, NoReturn

import aiohttp
import httpx

from r1data.errors import ContextOverflow, EndpointError, Terminal

RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
LOOPBACK = ("http://127.0.0.1", "http://localhost", "http://[::1]")
TOO_LONG = ("maximum context length", "context_length_exceeded", "max_model_len")


@dataclass(frozen=True)
class Endpoint:
    """A server's base URL and the model name it serves; `chat` where it takes messages instead of raw prompts.

    `extra` is added to every request: what one server knows beyond the OpenAI interface.
    """

    url: str
    model: str
    api_key: str | None = field(default=None, repr=False)
    chat: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)

    def headers(self) -> dict[str, str]:
        """Authorisation, where there is a key."""
        return {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}


class Unanswered(Exception):
    """A request that may be answered when it is sent again; `after` is what the server asked to wait, in seconds."""

    def __init__(self, fault: str, after: float | None = None, *, unreachable: bool = False) -> None:
        super().__init__(fault)
        self.after = after
        self.unreachable = unreachable


async def ask(session: aiohttp.ClientSession, endpoint: Endpoint, path: str, payload: dict[str, Any]) -> dict[str, Any]:
    """The JSON answer of the endpoint's model; `Unanswered` where another try may help, `Terminal` where none will."""
    where = f"{endpoint.url}{path}"
    told = {"model": endpoint.model, **payload, **endpoint.extra}
    try:
        async with session.post(where, json=told, headers=endpoint.headers()) as answer:
            body = await answer.read()
    except (aiohttp.ClientError, TimeoutError, OSError) as e:
        raise Unanswered(f"{type(e).__name__}: {e}", unreachable=True) from e
    text = body[:500].decode(errors="replace")
    if answer.status in RETRIED:
        wait = answer.headers.get("retry-after", "")
        raise Unanswered(
            f"HTTP {answer.status}: {text[:200]}", float(wait) if wait.replace(".", "", 1).isdigit() else None
        )
    if answer.status != 200:
        _refused(where, answer.status, text)
    try:
        found = json.loads(body)
    except ValueError as e:
        raise Unanswered(f"not JSON: {e}") from e
    if not isinstance(found, dict):
        raise Unanswered(f"not a JSON object: {text[:100]}")
    return found


async def healthy(session: aiohttp.ClientSession, url: str, deadline_s: float) -> bool:
    """Whether a server answers at all, other than by an error of its own; who knows no /health answers, too."""
    try:
        async with session.get(f"{url}/health", timeout=aiohttp.ClientTimeout(deadline_s)) as answer:
            return answer.status not in RETRIED
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False


async def tokens_made(session: aiohttp.ClientSession, url: str, deadline_s: float) -> float:
    """vLLM's counter of generated tokens; 0 where the server does not tell.

    A server of others may not: there `stalled_s` is the longest time without any answer.
    """
    try:
        async with session.get(f"{url}/metrics", timeout=aiohttp.ClientTimeout(deadline_s)) as answer:
            lines = (await answer.text()).splitlines() if answer.status == 200 else []
        return sum(float(x.rsplit(" ", 1)[-1]) for x in lines if x.startswith("vllm:generation_tokens_total"))
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
        return 0.0


def _refused(where: str, status: int, text: str) -> NoReturn:
    told = f"{where}: HTTP {status}: {text}"
    if status in (400, 413, 422) and any(mark in text for mark in TOO_LONG):
        raise ContextOverflow(told, "raise the server's --max-model-len, lower max_tokens, or leave the problem out")
    if status in (401, 403):
        raise Terminal(told, "check the key (R1_TEACHER_KEY) and its rights")
    raise Terminal(told, "the request itself is wrong: check model name, context length and sampling")


def on_loopback(url: str) -> bool:
    """Whether a server is on this machine, where no proxy of the environment stands between."""
    return url.startswith(LOOPBACK)


def served_name(url: str, deadline_s: float) -> str:
    """The first model that a server serves, once it is ready; empty if it is not before the deadline."""
    if not wait_healthy(url, deadline_s, lambda: True):
        return ""
    try:
        found = httpx.get(f"{url}/v1/models", timeout=30, trust_env=not on_loopback(url)).json()
        return str(found["data"][0]["id"])
    except (httpx.HTTPError, JSONDecodeError, KeyError, IndexError, TypeError) as e:
        raise EndpointError(f"{url}/v1/models: no list of models: {e}", "is it an OpenAI-compatible server?") from e


def wait_healthy(url: str, deadline_s: float, alive: Callable[[], bool]) -> bool:
    """Whether `/health` answered before the deadline and before the process ended."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end and alive():
        try:
            if httpx.get(f"{url}/health", timeout=5, trust_env=not on_loopback(url)).status_code == 200:
                return True
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    return False
