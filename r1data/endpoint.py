"""One request to an OpenAI-compatible server, and what its answer means: JSON, worth another try, or final."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from json import JSONDecodeError
from typing import Any, NoReturn

import httpx

from r1data.errors import ContextOverflow, EndpointError, Terminal

RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
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


async def ask(client: httpx.AsyncClient, endpoint: Endpoint, path: str, payload: dict[str, Any]) -> dict[str, Any]:
    """The JSON answer of the endpoint's model; `Unanswered` where another try may help, `Terminal` where none will."""
    where = f"{endpoint.url}{path}"
    told = {"model": endpoint.model, **payload, **endpoint.extra}
    try:
        answer = await client.post(where, json=told, headers=endpoint.headers())
    except httpx.HTTPError as e:
        raise Unanswered(f"{type(e).__name__}: {e}", unreachable=True) from e
    if answer.status_code in RETRIED:
        told = answer.headers.get("retry-after", "")
        after = float(told) if told.replace(".", "", 1).isdigit() else None
        raise Unanswered(f"HTTP {answer.status_code}: {answer.text[:200]}", after)
    if answer.status_code != 200:
        _refused(where, answer)
    try:
        found = answer.json()
    except (JSONDecodeError, UnicodeDecodeError) as e:
        raise Unanswered(f"not JSON: {e}") from e
    if not isinstance(found, dict):
        raise Unanswered(f"not a JSON object: {answer.text[:100]}")
    return found


def _refused(where: str, answer: httpx.Response) -> NoReturn:
    told = f"{where}: HTTP {answer.status_code}: {answer.text[:500]}"
    if answer.status_code in (400, 413, 422) and any(mark in answer.text for mark in TOO_LONG):
        raise ContextOverflow(told, "raise the server's --max-model-len, lower max_tokens, or leave the problem out")
    if answer.status_code in (401, 403):
        raise Terminal(told, "check the key (R1_TEACHER_KEY) and its rights")
    raise Terminal(told, "the request itself is wrong: check model name, context length and sampling")


def served_name(url: str, deadline_s: float) -> str:
    """The first model that a server serves, once it is ready; empty if it is not before the deadline."""
    if not wait_healthy(url, deadline_s, lambda: True):
        return ""
    try:
        found = httpx.get(f"{url}/v1/models", timeout=30).json()
        return str(found["data"][0]["id"])
    except (httpx.HTTPError, JSONDecodeError, KeyError, IndexError, TypeError) as e:
        raise EndpointError(f"{url}/v1/models: no list of models: {e}", "is it an OpenAI-compatible server?") from e


def wait_healthy(url: str, deadline_s: float, alive: Callable[[], bool]) -> bool:
    """Whether `/health` answered before the deadline and before the process ended."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end and alive():
        try:
            if httpx.get(f"{url}/health", timeout=5).status_code == 200:
                return True
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    return False
