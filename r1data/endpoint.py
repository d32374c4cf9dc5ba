"""One async HTTP client for every OpenAI-compatible server: back-off for what may pass, a typed error for the rest."""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from json import JSONDecodeError
from typing import Any

import httpx

from r1data.errors import EndpointError, Terminal

RETRIED = frozenset({408, 409, 429, 500, 502, 503, 504})
LONGEST_WAIT_S = 30.0


@dataclass(frozen=True)
class Endpoint:
    """A server's base URL and the model name it serves; `chat` where it takes messages instead of raw prompts."""

    url: str
    model: str
    api_key: str | None = field(default=None, repr=False)
    chat: bool = False

    def headers(self) -> dict[str, str]:
        """Authorisation, where there is a key."""
        return {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}


async def post_json(
    client: httpx.AsyncClient, endpoint: Endpoint, path: str, payload: dict[str, Any], *, attempts: int = 5
) -> dict[str, Any]:
    """The JSON answer; 408, 409, 429, 5xx, broken connections and torn bodies are retried, other 4xx are final."""
    fault = ""
    for attempt in range(attempts):
        if attempt:
            await asyncio.sleep(_wait(attempt, fault))
        try:
            answer = await client.post(endpoint.url + path, json=payload, headers=endpoint.headers())
        except httpx.HTTPError as e:
            fault = f"{type(e).__name__}: {e}"
            continue
        if answer.status_code in RETRIED:
            fault = (
                f"HTTP {answer.status_code} (retry after {answer.headers.get('retry-after', '-')}): {answer.text[:200]}"
            )
            continue
        if answer.status_code != 200:
            remedy = "the request itself is wrong: check model name, context length and sampling"
            raise Terminal(f"{endpoint.url}{path}: HTTP {answer.status_code}: {answer.text[:500]}", remedy)
        try:
            found = answer.json()
        except (JSONDecodeError, UnicodeDecodeError) as e:
            fault = f"not JSON: {e}"
            continue
        if isinstance(found, dict):
            return found
        fault = f"not a JSON object: {answer.text[:100]}"
    raise EndpointError(
        f"{endpoint.url}{path}: gave up after {attempts} attempts, last: {fault}",
        "check that the server is up; answers recorded so far are kept, run again to continue",
    )


def _wait(attempt: int, fault: str) -> float:
    """Seconds before the next attempt: what the server asked for, else doubling from half a second with jitter."""
    _, _, after = fault.partition("retry after ")
    asked = after.partition(")")[0]
    if asked.replace(".", "", 1).isdigit():
        return min(LONGEST_WAIT_S, float(asked))
    return min(LONGEST_WAIT_S, 0.5 * 2.0 ** (attempt - 1)) * random.Random(f"{attempt}{fault}").uniform(0.75, 1.25)


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
