"""Completions from an OpenAI-compatible server, a fixed number of requests in flight, each handed over as it ends."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from r1data.endpoint import Endpoint, post_json
from r1data.errors import EndpointError, R1Error

STALLED_S = 600.0


@dataclass(frozen=True)
class CompletionRequest:
    """One prompt, n children with seeds seed, seed + 1, ...; `tag` is the caller's name for it."""

    prompt: str
    n: int
    seed: int
    tag: str = ""


@dataclass(frozen=True)
class Completion:
    """One child: text without the end token, token ids with it (none from a chat), their log-probs if asked for."""

    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: str
    prompt_tokens: int
    tokens: int


@dataclass(frozen=True)
class Decoding:
    """Settings of a completion that all requests of a run share."""

    temperature: float
    top_p: float
    max_tokens: int
    logprobs: bool = False


def completions(
    endpoint: Endpoint,
    requests: Sequence[CompletionRequest],
    decoding: Decoding,
    *,
    in_flight: int = 64,
    on_done: Callable[[CompletionRequest, list[Completion]], None] | None = None,
) -> list[list[Completion]]:
    """Children of every request, in the order of the requests; `on_done` sees each as it ends."""
    return asyncio.run(_all(endpoint, requests, decoding, in_flight, on_done))


async def _all(
    endpoint: Endpoint,
    requests: Sequence[CompletionRequest],
    decoding: Decoding,
    in_flight: int,
    on_done: Callable[[CompletionRequest, list[Completion]], None] | None,
) -> list[list[Completion]]:
    results: list[list[Completion]] = [[] for _ in requests]
    waiting = iter(enumerate(requests))
    limits = httpx.Limits(max_connections=in_flight)
    timeout = httpx.Timeout(STALLED_S, connect=10)
    async with httpx.AsyncClient(timeout=timeout, limits=limits) as client:

        async def worker() -> None:
            for i, request in waiting:
                results[i] = await complete(client, endpoint, request, decoding)
                if on_done:
                    on_done(request, results[i])

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(in_flight, len(requests))):
                    group.create_task(worker())
        except* R1Error as errors:
            raise errors.exceptions[0] from None  # the first says why; the rest follow from it
    return results


async def complete(
    client: httpx.AsyncClient, endpoint: Endpoint, request: CompletionRequest, decoding: Decoding
) -> list[Completion]:
    """The n children of one request, by child index."""
    payload: dict[str, Any] = {
        "model": endpoint.model,
        "n": request.n,
        "seed": request.seed,
        "temperature": decoding.temperature,
        "top_p": decoding.top_p,
        "max_tokens": decoding.max_tokens,
    }
    if endpoint.chat:
        messages = [{"role": "user", "content": request.prompt}]
        answer = await post_json(client, endpoint, "/v1/chat/completions", {**payload, "messages": messages})
    else:
        payload |= {"prompt": request.prompt, "return_token_ids": True}
        payload |= {"skip_special_tokens": False, "spaces_between_special_tokens": False}
        if decoding.logprobs:
            payload["logprobs"] = 0
        answer = await post_json(client, endpoint, "/v1/completions", payload)
    choices = sorted(answer.get("choices", []), key=lambda c: c["index"])
    if len(choices) != request.n:
        raise EndpointError(
            f"{endpoint.url}: asked for {request.n} completions, got {len(choices)}", "check the server"
        )
    usage = answer["usage"]
    # a chat server gives no token ids: its count, shared among the children
    tokens = int(usage.get("completion_tokens") or 0) // request.n
    return [_completion(c, int(usage["prompt_tokens"]), tokens) for c in choices]


def _completion(choice: dict[str, Any], prompt_tokens: int, tokens: int) -> Completion:
    ids = tuple(choice.get("token_ids") or ())
    logprobs = (choice.get("logprobs") or {}).get("token_logprobs") or ()
    return Completion(
        text=choice["text"] if "text" in choice else choice["message"]["content"] or "",
        token_ids=ids,
        logprobs=tuple(logprobs),
        finish_reason=choice["finish_reason"] or "unknown",
        prompt_tokens=prompt_tokens,
        tokens=len(ids) or tokens,
    )
