"""Named pieces of work, each started as soon as what it needs is done."""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import TypeVar

T = TypeVar("T")
LOOK_S = 0.5


def run_graph(
    needs: Mapping[str, AbstractSet[str]], work: Callable[[str], T], stop: Callable[[], None] = lambda: None
) -> dict[str, T]:
    """The result of every piece, by name, in the order they ended.

    After a failure nothing more is started, what runs may end, and the first failure is raised. An interruption
    (anything that is no `Exception`) calls `stop` first, which has to make what runs end soon.
    """
    done: dict[str, T] = {}
    waiting = dict(needs)
    running: dict[Future[T], str] = {}
    pool = ThreadPoolExecutor(max_workers=max(1, len(needs)), thread_name_prefix="node")
    try:
        while waiting or running:
            for name in [n for n, needed in waiting.items() if needed <= done.keys()]:
                del waiting[name]
                running[pool.submit(copy_context().run, work, name)] = name
            assert running, f"these wait for each other: {', '.join(waiting)}"
            # a wait without end would not hear Ctrl-C: Polars makes signals restart system calls
            ended, _ = wait(running, timeout=LOOK_S, return_when=FIRST_COMPLETED)
            for future in ended:
                done[running.pop(future)] = future.result()
    except Exception:
        raise
    except BaseException:
        stop()
        raise
    finally:
        pool.shutdown(wait=True)
    return done
