"""Completions from OpenAI-compatible servers: the n children of a request, with token ids and finish reasons."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from r1data.endpoint import Endpoint, Unanswered
from r1data.errors import ContextOverflow, Terminal, first_error
from r1data.generate.router import Backend, Router

DOWN_S = 10.0
ENDS = frozenset({"stop", "length", "content_filter"})


@dataclass(frozen=True)
class CompletionRequest:
    """One prompt (text or token ids), n children with seeds seed, seed + 1, ...; `tag` is the caller's name for it."""

    prompt: str | tuple[int, ...]
    n: int
    seed: int
    tag: str = ""
    max_tokens: int | None = None


@dataclass(frozen=True)
class Completion:
    """One child: text without the end token, token ids with it (none from a chat), their log-probs if asked for."""

    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: str
    prompt_tokens: int
    tokens: int
    prompt_token_ids: tuple[int, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Decoding:
    """Settings of a completion that all requests of a run share."""

    temperature: float
    top_p: float
    max_tokens: int
    logprobs: bool = False
    continue_once: bool = False


def completions(
    servers: Endpoint | Sequence[Backend],
    requests: Sequence[CompletionRequest],
    decoding: Decoding,
    *,
    in_flight: int = 64,
) -> list[list[Completion]]:
    """Children of every request, in the order of the requests, from one server or several of one model."""
    backends = [Backend(servers)] if isinstance(servers, Endpoint) else servers
    return asyncio.run(_all(backends, requests, decoding, in_flight))


async def _all(
    backends: Sequence[Backend], requests: Sequence[CompletionRequest], decoding: Decoding, in_flight: int
) -> list[list[Completion]]:
    results: list[list[Completion]] = [[] for _ in requests]
    waiting = iter(enumerate(requests))
    async with Router(backends, down_s=DOWN_S) as router:

        async def worker() -> None:
            for i, request in waiting:
                results[i] = await complete(router, request, decoding)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(in_flight, len(requests))):
                    group.create_task(worker())
        except BaseExceptionGroup as group:
            raise first_error(group) from None
    return results


async def complete(router: Router, request: CompletionRequest, decoding: Decoding) -> list[Completion]:
    """The n children of one request, by child index; those cut at their limit are continued once if so wanted."""
    children = await _complete(router, request, decoding)
    if decoding.continue_once:
        return list(
            await asyncio.gather(*(_continued(router, request, decoding, i, c) for i, c in enumerate(children)))
        )
    return children


async def _continued(
    router: Router, request: CompletionRequest, decoding: Decoding, index: int, cut: Completion
) -> Completion:
    """A truncated child with the rest of its answer, from its own tokens and under its own seed."""
    if cut.finish_reason != "length":
        return cut
    if not cut.prompt_token_ids or not cut.token_ids:
        raise Terminal(
            f"{router.backends[0].endpoint.url}: gives no token ids, so that an answer cannot be continued",
            'choose truncated = "drop" or "keep"',
        )
    longer = CompletionRequest((*cut.prompt_token_ids, *cut.token_ids), 1, request.seed + index)
    try:
        (rest,) = await _complete(router, longer, decoding)
    except ContextOverflow:
        return cut  # as long as the model's context allows
    return replace(
        cut,
        text=cut.text + rest.text,
        token_ids=cut.token_ids + rest.token_ids,
        logprobs=cut.logprobs + rest.logprobs,
        finish_reason=rest.finish_reason,
        tokens=cut.tokens + rest.tokens,
    )


async def _complete(router: Router, request: CompletionRequest, decoding: Decoding) -> list[Completion]:
    endpoint = router.backends[0].endpoint
    payload: dict[str, Any] = {
        "n": request.n,
        "seed": request.seed,
        "temperature": decoding.temperature,
        "top_p": decoding.top_p,
        "max_tokens": request.max_tokens or decoding.max_tokens,
    }
    if endpoint.chat:
        messages = [{"role": "user", "content": request.prompt}]
        return await router.post("/v1/chat/completions", {**payload, "messages": messages}, partial(_read, request.n))
    payload |= {"prompt": request.prompt, "return_token_ids": True}
    payload |= {"skip_special_tokens": False, "spaces_between_special_tokens": False}
    if decoding.logprobs:
        payload["logprobs"] = 0
    return await router.post("/v1/completions", payload, partial(_read, request.n))


def _read(n: int, answer: dict[str, Any]) -> list[Completion]:
    """The n children of an answer, by child index; `Unanswered` where it is no whole answer."""
    try:
        choices = sorted(answer["choices"], key=lambda c: int(c["index"]))
        usage = answer["usage"]
        # a chat server gives no token ids: its count, shared among the children
        tokens = int(usage.get("completion_tokens") or 0) // n
        found = [_completion(c, int(usage["prompt_tokens"]), tokens) for c in choices]
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        raise Unanswered(f"no OpenAI completion: {type(e).__name__}: {e}") from e
    if len(found) != n:
        raise Unanswered(f"asked for {n} completions, got {len(found)}")
    ends = {c.finish_reason for c in found} - ENDS
    if ends:
        raise Unanswered(f"broken off: finish_reason {', '.join(sorted(ends))}")
    return found


def _completion(choice: dict[str, Any], prompt_tokens: int, tokens: int) -> Completion:
    ids = tuple(choice.get("token_ids") or ())
    logprobs = (choice.get("logprobs") or {}).get("token_logprobs") or ()
    return Completion(
        text=choice["text"] if "text" in choice else choice["message"]["content"] or "",
        token_ids=ids,
        logprobs=tuple(logprobs),
        finish_reason=str(choice["finish_reason"]),
        prompt_tokens=prompt_tokens,
        tokens=len(ids) or tokens,
        prompt_token_ids=tuple(choice.get("prompt_token_ids") or ()) if choice["finish_reason"] == "length" else (),
    )
