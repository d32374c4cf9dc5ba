"""New weights for running servers, through vLLM's native update calls, by a client apart from the one for rollouts.

From the start of an update to its end a server answers nobody. One whose update failed holds some old weights and some
new ones: it stays paused until an update succeeds.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import httpx

from r1data.endpoint import on_loopback
from r1data.errors import EndpointError, ModelError
from r1data.model_folder import MISFIT

DEADLINE_S = 120.0
HEALTH_S = 10.0


Ask = Callable[[dict[str, Any]], None]


class Way(Protocol):
    """How weights reach a server, part by part; `ask` tells the server its share and returns when that is done."""

    def join(self, url: str, version: str, ask: Ask) -> None:
        """Before the parts of an update to a version."""
        ...

    def send(self, url: str, part: Any, ask: Ask) -> None:
        """One part."""
        ...


class InFiles:
    """A part is a safetensors file, or a folder of them, that the server can see."""

    def join(self, url: str, version: str, ask: Ask) -> None:
        """Nothing to connect."""
        ask({})

    def send(self, url: str, part: Path, ask: Ask) -> None:
        """It reads the file."""
        ask({"path": str(part)})


def update_weights(url: str, weights: Path, version: str) -> None:
    """Load safetensors (a file, or all in a folder) that the server can see; errors as of `update_all`."""
    update_all([url], [weights], version)


def update_all(
    urls: Sequence[str], parts: Iterable[Any], version: str, way: Way | None = None
) -> dict[str, EndpointError]:
    """One part after the other to all servers at the same time; a part may go as soon as the next one is asked for.

    Returns the errors of servers that did not take all, by URL; the others have the weights. `EndpointError` if none
    has, `ModelError` if the weights do not fit the model.
    """
    lost: dict[str, EndpointError] = {}
    with ExitStack() as held:
        updates = [held.enter_context(_Update(url, version, way or InFiles())) for url in urls]
        pool = held.enter_context(ThreadPoolExecutor(len(urls)))

        def everywhere(step: Callable[[_Update], None]) -> None:
            running = [(u, pool.submit(step, u)) for u in updates if u.url not in lost]
            for update, future in running:
                try:
                    future.result()
                except EndpointError as e:
                    lost[update.url] = e
            if len(lost) == len(updates):
                raise next(iter(lost.values()))

        everywhere(_Update.start)
        for part in parts:
            everywhere(lambda update, part=part: update.put(part))  # type: ignore[misc]
        everywhere(_Update.finish)
    return lost


class _Update:
    """One update of one server: pause, start, parts, finish, drop the prefix cache, resume."""

    def __init__(self, url: str, version: str, way: Way) -> None:
        self.url, self.version, self.way = url, version, way

    def __enter__(self) -> "_Update":
        # vLLM closes a connection after an error: each call opens its own
        limits = httpx.Limits(max_keepalive_connections=0)
        self._client = httpx.Client(timeout=DEADLINE_S, trust_env=not on_loopback(self.url), limits=limits)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def start(self) -> None:
        """From here on the server answers nobody."""
        _asked(self._client, self.url, "/health", HEALTH_S)
        self.way.join(self.url, self.version, partial(self._tell, "/init_weight_transfer_engine", "init_info"))
        self._control("/pause", None, {"mode": "keep"})
        try:
            self._control("/start_weight_update", {})
        except EndpointError:
            # whoever updated it last was killed: vLLM ends that update with its first error
            with suppress(EndpointError):
                self._control("/update_weights", {"update_info": {"given_up": True}})
            self._control("/start_weight_update", {})

    def put(self, part: Any) -> None:
        """Some of the weights."""
        self.way.send(self.url, part, partial(self._tell, "/update_weights", "update_info"))

    def finish(self) -> None:
        """It has all of them."""
        self._control("/finish_weight_update", {"weight_version": self.version})
        self._control("/reset_prefix_cache", None)
        self._control("/resume", None)

    def _tell(self, path: str, name: str, told: dict[str, Any]) -> None:
        self._control(path, {name: told})

    def _control(self, path: str, payload: dict[str, Any] | None, params: dict[str, str] | None = None) -> None:
        _control(self._client, self.url, path, payload, params)


def weight_version(url: str, deadline_s: float = HEALTH_S) -> str:
    """The version of the last update that the server took whole; `EndpointError` if it does not answer."""
    with httpx.Client(trust_env=not on_loopback(url)) as client:
        return str(_asked(client, url, "/weight_info", deadline_s).get("weight_version") or "")


def world_size(url: str, deadline_s: float = HEALTH_S) -> int:
    """The processes of the server that hold weights: tensor, pipeline and data parallel ones."""
    with httpx.Client(trust_env=not on_loopback(url)) as client:
        found = _asked(client, url, "/get_world_size", deadline_s).get("world_size")
    if not found:
        raise EndpointError(f"{url}: does not tell how many processes hold its weights", "a process group needs vLLM")
    return int(found)


def is_paused(url: str, deadline_s: float = HEALTH_S) -> bool:
    """Whether the server waits for the end of an update; a server that does not know the question does not."""
    try:
        with httpx.Client(trust_env=not on_loopback(url)) as client:
            return bool(_asked(client, url, "/is_paused", deadline_s).get("is_paused"))
    except EndpointError:
        return False


def prompt_logprobs(url: str, model: str, token_ids: list[int]) -> list[float]:
    """The log-probs that the server gives to the tokens of a prompt, the first token left out; [] if it has none."""
    payload = {"model": model, "prompt": token_ids, "max_tokens": 1, "temperature": 1.0, "prompt_logprobs": 0}
    with httpx.Client(timeout=DEADLINE_S, trust_env=not on_loopback(url)) as client:
        answer = _control(client, url, "/v1/completions", payload)
    rows = answer["choices"][0].get("prompt_logprobs") or []
    return [row[str(t)]["logprob"] for row, t in zip(rows[1:], token_ids[1:], strict=False)]


def _asked(client: httpx.Client, url: str, path: str, deadline_s: float) -> dict[str, Any]:
    return _read(url + path, lambda: client.get(url + path, timeout=deadline_s))


def _control(
    client: httpx.Client, url: str, path: str, payload: dict[str, Any] | None, params: dict[str, str] | None = None
) -> dict[str, Any]:
    return _read(url + path, lambda: client.post(url + path, json=payload, params=params))


def _read(where: str, send: Callable[[], httpx.Response]) -> dict[str, Any]:
    try:
        answer = send()
    except httpx.HTTPError as e:
        raise EndpointError(f"{where}: {type(e).__name__}: {e}", "the server has gone: see its log") from e
    if answer.status_code != 200 and MISFIT in answer.text:
        told = answer.text[answer.text.index(MISFIT) :]
        raise ModelError(f"{where}: {told[:500]}", "the server was started for another config: give it this model's")
    if answer.status_code != 200:
        raise EndpointError(f"{where}: HTTP {answer.status_code}: {answer.text[:300]}", "see the server's log")
    if not answer.content or "json" not in answer.headers.get("content-type", ""):
        return {}
    found = answer.json()
    return found if isinstance(found, dict) else {}
