"""Weights to servers over process groups: NCCL between GPUs, gloo between CPUs, by the same calls.

The trainer is rank 0 of a group, the workers of one server are the others. Each server has a group of its own, so that
one that dies takes no other with it; a bucket is broadcast to all of them at the same time, as one tensor of bytes.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from math import prod
from typing import Any, TypeVar
from urllib.parse import urlsplit

import torch
import torch.distributed as dist
from torch.distributed import Store, TCPStore  # type: ignore[attr-defined]  # its stubs leave them out

from r1data.endpoint import on_loopback
from r1data.errors import EndpointError
from r1data.generate.weights import Ask, weight_version, world_size
from training.transfer import Weights, buckets

ALIGNED = 16  # bytes: where a tensor may begin, whatever its type
LIMIT_S = 60.0  # until a peer has joined, or has a bucket: less than a server is given to answer
READY = "ready"
Found = TypeVar("Found")
UNWATCHED = "TORCH_NCCL_BLOCKING_WAIT"
_ENVIRONMENT = threading.Lock()
REMEDY = (
    "see the server's log; servers must reach the trainer on any port and not share its GPU: "
    'else set [cluster] weights_over = "files"'
)


class Gone(Exception):
    """A peer left, or did not come in time: the group is of no more use."""


class Group:
    """Rank `rank` of `world` processes that meet at a store of rank 0; all have it once it is made."""

    def __init__(self, store: Store, host: str, backend: str, rank: int, world: int, device: torch.device) -> None:
        self._group = _nccl(store, rank, world) if backend == "nccl" else _gloo(store, host, rank, world)
        # NCCL connects at the first broadcast, which no time limit ends
        with on(device):
            self._group.broadcast(torch.zeros(1, dtype=torch.uint8, device=device), 0).wait()

    @classmethod
    def join(cls, host: str, port: int, backend: str, rank: int, world: int, device: torch.device) -> "Group":
        """A worker's end; `Gone` if the trainer is not there."""
        span = timedelta(seconds=LIMIT_S)
        try:
            store = TCPStore(host, port, world, is_master=False, timeout=span, wait_for_workers=False)
        except RuntimeError as e:
            raise Gone(f"{host}:{port}: {e}") from e
        return cls.of_all(store, host, backend, rank, world, device)

    @classmethod
    def of_all(
        cls,
        store: Store,
        host: str,
        backend: str,
        rank: int,
        world: int,
        device: torch.device,
        check: Callable[[], None] = lambda: None,
    ) -> "Group":
        """The group, once all are there: until then each can give up, with `Gone` or what `check` raises."""
        try:
            store.add(READY, 1)
            wait(lambda: store.add(READY, 0) == world, check)
            made = beside(partial(cls, store, host, backend, rank, world, device))
            wait(made.done, check)
            return made.result()
        except RuntimeError as e:
            raise Gone(str(e)) from e

    def broadcast(self, flat: torch.Tensor, check: Callable[[], None] = lambda: None) -> None:
        """[bytes] of rank 0 to all; `Gone` if a peer is lost. `check` is called while it waits, and may raise."""
        try:
            with on(flat.device):
                work = self._group.broadcast(flat, 0)
                wait(work.is_completed, check)
                work.wait()  # raises what went wrong; on a GPU, later work is put behind it
        except RuntimeError as e:
            raise Gone(str(e)) from e

    def close(self) -> None:
        """Whoever still waits for us hears of it."""
        self._group.abort()


def _gloo(store: Store, host: str, rank: int, world: int) -> Any:
    told = dist.ProcessGroupGloo._Options()  # type: ignore[attr-defined]
    told._timeout = timedelta(seconds=LIMIT_S)  # nothing else ends what hangs
    told._devices = [dist.ProcessGroupGloo.create_device(hostname=address_towards(host))]
    return dist.ProcessGroupGloo(store, rank, world, told)


def _nccl(store: Store, rank: int, world: int) -> Any:
    """Without the watchdog, which ends the whole process when a peer dies: here that costs the group alone."""
    options = dist.ProcessGroupNCCL.Options()
    options._timeout = timedelta(seconds=4 * LIMIT_S)  # we abort long before
    with _ENVIRONMENT:
        before = os.environ.get(UNWATCHED)
        os.environ[UNWATCHED] = "1"
        try:
            return dist.ProcessGroupNCCL(store, rank, world, options)
        finally:
            os.environ.pop(UNWATCHED) if before is None else os.environ.update({UNWATCHED: before})


def on(device: torch.device) -> AbstractContextManager[Any]:
    """The current device of this thread."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def beside(act: Callable[[], Found]) -> Future[Found]:
    """In a thread that the end of the process does not wait for: what has no time limit may never return."""
    found: Future[Found] = Future()

    def work() -> None:
        try:
            found.set_result(act())
        except BaseException as e:  # noqa: BLE001  # told to who asks for the result
            found.set_exception(e)

    threading.Thread(target=work, daemon=True, name="group").start()
    return found


def wait(done: Callable[[], bool], check: Callable[[], None]) -> None:
    """Until it is done; `Gone` after LIMIT_S, or what `check` raises."""
    end, pause = time.monotonic() + LIMIT_S, 1e-4
    while not done():
        check()
        if time.monotonic() > end:
            raise Gone(f"no answer in {LIMIT_S:.0f} s")
        time.sleep(pause)
        pause = min(2 * pause, 0.01)


@dataclass(frozen=True)
class Parcel:
    """A bucket as bytes, and what its receivers must know."""

    told: dict[str, Any]
    flat: torch.Tensor


def parcel(bucket: Mapping[str, torch.Tensor]) -> Parcel:
    """Tensors of any types, behind each other."""
    told = {
        "names": list(bucket),
        "dtypes": [str(w.dtype).removeprefix("torch.") for w in bucket.values()],
        "shapes": [list(w.shape) for w in bucket.values()],
    }
    tensors = list(bucket.values())
    flat = torch.empty(room(told), dtype=torch.uint8, device=tensors[0].device)
    for place, tensor in zip(places(told), tensors, strict=True):
        flat[place].view(tensor.dtype).copy_(tensor.flatten())
    return Parcel(told, flat)


def opened(told: Mapping[str, Any], flat: torch.Tensor) -> dict[str, torch.Tensor]:
    """The tensors of a parcel, as views."""
    rows = zip(told["names"], told["dtypes"], told["shapes"], places(told), strict=True)
    return {name: flat[place].view(getattr(torch, dtype)).view(shape) for name, dtype, shape, place in rows}


def places(told: Mapping[str, Any]) -> Iterator[slice]:
    """Where each tensor is among the bytes."""
    start = 0
    for dtype, shape in zip(told["dtypes"], told["shapes"], strict=True):
        size = prod(shape) * getattr(torch, dtype).itemsize
        yield slice(start, start + size)
        start += -(-size // ALIGNED) * ALIGNED


def room(told: Mapping[str, Any]) -> int:
    """Bytes of a parcel."""
    return max((place.stop for place in places(told)), default=0)


def received(group: Group, told: Mapping[str, Any], device: torch.device) -> dict[str, torch.Tensor]:
    """A worker's tensors of the parcel that rank 0 sends."""
    flat = torch.empty(room(told), dtype=torch.uint8, device=device)
    group.broadcast(flat)
    return opened(told, flat)


class Groups:
    """The trainer's ends: a way for `update_all`, over `nccl` or `gloo`."""

    def __init__(self, backend: str) -> None:
        self.backend = backend
        self.device = "cuda" if backend == "nccl" else "cpu"
        self.held: dict[str, tuple[Group, str]] = {}  # by URL, with the version of the last weights that went over it

    def parcels(self, weights: Weights, most: int) -> Generator[Parcel]:
        """Each bucket of at most `most` bytes."""
        yield from map(parcel, buckets(weights, most))

    def join(self, url: str, version: str, ask: Ask) -> None:
        """Form the server's group, unless it is the process that took the last weights over this one."""
        if url in self.held and weight_version(url) == self.held[url][1]:
            self.held[url] = (self.held[url][0], version)
            return
        self._drop(url)
        world = 1 + world_size(url)
        try:
            host = address_towards(urlsplit(url).hostname or "", url)
            store = TCPStore(host, 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=LIMIT_S))
        except (OSError, RuntimeError) as e:
            raise EndpointError(f"{url}: no process group: {e}", REMEDY) from e
        told = {"host": host, "port": store.port, "backend": self.backend, "world": world}
        own = torch.device("cuda", 0) if self.backend == "nccl" else torch.device("cpu")  # of rank 0

        def meet(check: Callable[[], None]) -> None:
            self.held[url] = (Group.of_all(store, host, self.backend, 0, world, own, check), version)

        self._together(url, ask, told, meet)

    def send(self, url: str, bucket: Parcel, ask: Ask) -> None:
        """Broadcast it."""
        group, _ = self.held[url]
        self._together(url, ask, bucket.told, partial(group.broadcast, bucket.flat))

    def _together(self, url: str, ask: Ask, told: dict[str, Any], act: Callable[[Callable[[], None]], None]) -> None:
        """Act while the server is asked to do its part; the server's error before ours, which follows from it.

        After any error the group is closed: the next update forms another.
        """
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(ask, told)
            try:
                act(lambda: failed(asked))
                asked.result()
            except EndpointError as e:
                self._drop(url)
                raise EndpointError(str(e.args[0]), REMEDY) from e
            except Gone as e:
                self._drop(url)  # the server's end waits no longer
                asked.result()
                raise EndpointError(f"{url}: weights over {self.backend}: {e}", REMEDY) from e
            except BaseException:
                self._drop(url)
                raise

    def _drop(self, url: str) -> None:
        if url in self.held:
            self.held.pop(url)[0].close()

    def close(self) -> None:
        """Leave all groups."""
        for url in tuple(self.held):
            self._drop(url)


def failed(asked: Future[None]) -> None:
    """The error of what was asked, if it has ended in one."""
    if asked.done():
        asked.result()


def address_towards(host: str, url: str = "") -> str:
    """This machine's address as `host` sees it."""
    if url and on_loopback(url):
        return "127.0.0.1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.connect((host, 9))  # sends nothing
        return str(found.getsockname()[0])
