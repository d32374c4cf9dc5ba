"""Requests to several servers of one model: the least loaded gets the next, a dead one is taken out and its requests
are sent again, a server that makes no token any more counts as dead.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeVar

import aiohttp

from r1data.endpoint import Endpoint, Unanswered, ask, healthy, on_loopback, tokens_made
from r1data.errors import EndpointError, R1Error, boundary

ATTEMPTS = 6
DEATHS = 4
LONGEST_WAIT_S = 30.0
HEALTH_S = 5.0
REMEDY = "check that the server is up; answers recorded so far are kept, run again to continue"
Revive = Callable[[], Endpoint]
T = TypeVar("T")


@dataclass
class Backend:
    """One server. `revive` starts it anew, with the same weights, and gives its new address; without it we wait."""

    endpoint: Endpoint
    revive: Revive | None = None
    asked: set["asyncio.Task[dict[str, Any]]"] = field(default_factory=set)
    answers: int = 0
    fault: str = ""
    answers_at_stall: int = -1
    returning: "asyncio.Task[None] | None" = None

    @property
    def up(self) -> bool:
        """Whether requests may be sent to it."""
        return self.returning is None


@dataclass
class Router:
    """An async context. `down_s`: how long all servers may be away; `stalled_s`: how long one may make no token."""

    backends: Sequence[Backend]
    down_s: float = 300.0
    stalled_s: float = 600.0

    async def __aenter__(self) -> "Router":
        """Open connections when they are needed; start the watchdog."""
        if not self.backends:
            raise EndpointError("no server to ask", "name at least one URL")
        # the watchdog, not a time-out, ends what stalls: an answer may take an hour
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
        abroad = any(not on_loopback(b.endpoint.url) for b in self.backends)
        self._session = aiohttp.ClientSession(
            timeout=timeout, connector=aiohttp.TCPConnector(limit=0), trust_env=abroad
        )
        self._changed = asyncio.Condition()
        self._gone: R1Error | None = None
        self._watchdogs = [asyncio.create_task(self._watch(b)) for b in self.backends]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close connections; whatever is still under way is given up."""
        tasks = [*self._watchdogs, *(b.returning for b in self.backends if b.returning)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._session.close()

    async def post(self, path: str, payload: dict[str, Any], read: Callable[[dict[str, Any]], T]) -> T:
        """What `read` makes of the answer of whichever server is least loaded; `read` raises `Unanswered`, too.

        `EndpointError` after six attempts, or when four servers died of it or beside it.
        """
        faults: list[str] = []
        deaths = 0
        while len(faults) < ATTEMPTS and deaths < DEATHS:
            backend = await self._least_loaded()
            try:
                return read(await self._asked(backend, path, payload))
            except Unanswered as e:
                if not backend.up or (e.unreachable and not await self._healthy(backend)):
                    self._take_out(backend, str(e))  # sent again elsewhere: hardly this request's fault
                    deaths += 1
                    continue
                faults.append(str(e))
                await asyncio.sleep(_wait(len(faults), e) if len(faults) < ATTEMPTS else 0)
        if deaths == DEATHS:
            told = f"servers went away {DEATHS} times while they had this request, last {backend.endpoint.url}"
            asked = str(payload.get("prompt") or payload.get("messages"))[:200]
            raise EndpointError(f"{told}: {backend.fault}; it begins with {asked!r}", "does it kill them?")
        raise EndpointError(
            f"{backend.endpoint.url}{path}: gave up after {ATTEMPTS} attempts, last: {faults[-1]}", REMEDY
        )

    async def _asked(self, backend: Backend, path: str, payload: dict[str, Any]) -> dict[str, Any]:
        task = asyncio.create_task(ask(self._session, backend.endpoint, path, payload))
        backend.asked.add(task)
        try:
            found = await task
        except asyncio.CancelledError:
            task.cancel()
            current = asyncio.current_task()
            if backend.up or (current and current.cancelling()):
                raise
            raise Unanswered(backend.fault, unreachable=True) from None
        finally:
            backend.asked.discard(task)
        backend.answers += 1
        return found

    async def _least_loaded(self) -> Backend:
        if not any(b.up for b in self.backends):
            async with self._changed:
                await self._changed.wait_for(lambda: self._gone or any(b.up for b in self.backends))
        if self._gone:
            raise self._gone
        return min((b for b in self.backends if b.up), key=lambda b: len(b.asked))

    def _take_out(self, backend: Backend, fault: str) -> None:
        """Send it nothing more, give its requests back, and wait for its return."""
        if not backend.up:
            return
        backend.fault = fault
        backend.returning = asyncio.create_task(self._return(backend))
        for task in list(backend.asked):
            task.cancel()

    async def _return(self, backend: Backend) -> None:
        try:
            if backend.fault.endswith("(stalled)") and backend.answers == backend.answers_at_stall:
                raise EndpointError(f"{backend.endpoint.url}: {backend.fault}, twice without an answer", REMEDY)
            if backend.fault.endswith("(stalled)"):
                backend.answers_at_stall = backend.answers
            with boundary(EndpointError, f"{backend.endpoint.url}: cannot be brought back", REMEDY):
                if backend.revive:
                    backend.endpoint = await asyncio.to_thread(backend.revive)
                else:
                    await self._wait_until_healthy(backend)
        except R1Error as e:
            await self._lost(backend, e)
            return
        async with self._changed:
            backend.returning = None
            self._changed.notify_all()

    async def _wait_until_healthy(self, backend: Backend) -> None:
        end = time.monotonic() + self.down_s
        while time.monotonic() < end:
            await asyncio.sleep(min(HEALTH_S, self.down_s / 10))
            if await self._healthy(backend):
                return
        told = f"{backend.endpoint.url}: away for {self.down_s:.0f} s, last: {backend.fault}"
        raise EndpointError(told, REMEDY)

    async def _lost(self, backend: Backend, error: R1Error) -> None:
        """It will not come back in this run; the last one's error is everybody's."""
        backend.revive = None
        async with self._changed:
            if all(b is backend or (b.returning and b.returning.done()) for b in self.backends):
                self._gone = error
            self._changed.notify_all()

    async def _healthy(self, backend: Backend) -> bool:
        return await healthy(self._session, backend.endpoint.url, HEALTH_S)

    async def _signs(self, backend: Backend) -> float:
        """What grows while a server works: answers and tokens; -1 if it has nothing to do."""
        if not backend.up or not backend.asked:
            return -1.0
        return backend.answers + await tokens_made(self._session, backend.endpoint.url, HEALTH_S)

    async def _watch(self, backend: Backend) -> None:
        """Take the server out when it has requests but neither answers nor makes tokens for `stalled_s`."""
        seen, since = -1.0, time.monotonic()
        while True:
            await asyncio.sleep(min(10.0, self.stalled_s / 4))
            signs = await self._signs(backend)
            if signs != seen or signs < 0:
                seen, since = signs, time.monotonic()
            elif time.monotonic() - since > self.stalled_s:
                self._take_out(backend, f"no token for {self.stalled_s:g} s (stalled)")
                seen = -1.0


def _wait(attempt: int, fault: Unanswered) -> float:
    """Seconds before the next attempt: what the server asked for, else doubling from half a second with jitter."""
    if fault.after is not None:
        return min(LONGEST_WAIT_S, fault.after)
    return min(LONGEST_WAIT_S, 0.5 * 2.0 ** (attempt - 1)) * random.uniform(0.75, 1.25)
