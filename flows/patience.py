"""Waiting for a Prefect server that is away: killed, restarted, or being updated.

Prefect's clients try again only once they have been connected, and a task that asks for its slot, an artifact and a
subflow each begin with a new one: without this, a server that is away at that moment fails the run.
"""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import httpx
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError
from prefect.exceptions import PrefectHTTPStatusError

T = TypeVar("T")
PAUSES_S = (1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0, 60.0)


def patient(
    call: Callable[[], T],
    report: Callable[[str], None],
    pauses: Sequence[float] = PAUSES_S,
    given_up: Callable[[], bool] = lambda: False,
    also: tuple[type[Exception], ...] = (),
) -> T:
    """The result of a call that needs the server; while that does not answer, it is made again, for three minutes.

    So it is after errors of the kinds in `also`. Not if the call has failed and `given_up` says so.
    """
    away: tuple[type[Exception], ...] = (httpx.TransportError, ConcurrencySlotAcquisitionError, *also)
    for pause in pauses:
        try:
            return call()
        except away as e:
            if given_up():
                raise
            told = f"{type(e).__name__}: {e}"
        except PrefectHTTPStatusError as e:
            if e.response.status_code < 500 or given_up():
                raise
            told = f"{e.response.status_code} {e.request.url}"
        report(f"{told}; tries again in {pause:.0f} s")
        time.sleep(pause)
    return call()
