"""New weights for a running server, through vLLM's native update calls, by a client apart from the one for rollouts."""

from pathlib import Path
from typing import Any

import httpx

from r1data.endpoint import on_loopback
from r1data.errors import EndpointError

DEADLINE_S = 120.0


def update_weights(url: str, weights: Path, version: str) -> None:
    """Load safetensors (a file, or all in a folder) that the server can see.

    Pause, start, update, finish, drop the prefix cache, resume.
    """
    with httpx.Client(timeout=DEADLINE_S, trust_env=not on_loopback(url)) as client:
        _control(client, url, "/init_weight_transfer_engine", {"init_info": {}})
        _control(client, url, "/pause", None, {"mode": "keep"})
        try:
            _control(client, url, "/start_weight_update", {})
            _control(client, url, "/update_weights", {"update_info": {"path": str(weights)}})
            _control(client, url, "/finish_weight_update", {"weight_version": version})
            _control(client, url, "/reset_prefix_cache", None)
        finally:
            _control(client, url, "/resume", None)


def weight_version(url: str) -> str:
    """What the server calls the weights that it has; empty where it does not tell."""
    try:
        answer = httpx.get(f"{url}/weight_info", timeout=DEADLINE_S, trust_env=not on_loopback(url))
        return str(answer.json()["weight_version"]) if answer.status_code == 200 else ""
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as e:
        raise EndpointError(f"{url}/weight_info: {type(e).__name__}: {e}", "the server has gone: see its log") from e


def prompt_logprobs(url: str, model: str, token_ids: list[int]) -> list[float]:
    """The log-probs that the server gives to the tokens of a prompt, the first token left out; [] if it has none."""
    payload = {"model": model, "prompt": token_ids, "max_tokens": 1, "temperature": 1.0, "prompt_logprobs": 0}
    with httpx.Client(timeout=DEADLINE_S, trust_env=not on_loopback(url)) as client:
        answer = _control(client, url, "/v1/completions", payload)
    rows = answer["choices"][0].get("prompt_logprobs") or []
    return [row[str(t)]["logprob"] for row, t in zip(rows[1:], token_ids[1:], strict=False)]


def _control(
    client: httpx.Client, url: str, path: str, payload: dict[str, Any] | None, params: dict[str, str] | None = None
) -> dict[str, Any]:
    try:
        answer = client.post(url + path, json=payload, params=params)
    except httpx.HTTPError as e:
        raise EndpointError(f"{url}{path}: {type(e).__name__}: {e}", "the server has gone: see its log") from e
    if answer.status_code != 200:
        raise EndpointError(f"{url}{path}: HTTP {answer.status_code}: {answer.text[:300]}", "see the server's log")
    if not answer.content or "json" not in answer.headers.get("content-type", ""):
        return {}
    found = answer.json()
    return found if isinstance(found, dict) else {}
