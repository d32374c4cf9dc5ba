"""Weights to servers over process groups: NCCL between GPUs, gloo between CPUs, by the same calls.

The trainer is rank 0 of a group, the workers of one server are the others. Each server has a group of its own, so that
one that dies takes no other with it; a bucket is broadcast to all of them at the same time, as one tensor of bytes.
"""

import socket
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta
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


class Gone(Exception):
    """A peer left, or did not come in time: the group is of no more use."""


class Group:
    """Rank `rank` of `world` processes that meet at a store of rank 0."""

    def __init__(self, store: Store, host: str, backend: str, rank: int, world: int) -> None:
        self._group: Any
        if backend == "nccl":
            options = dist.ProcessGroupNCCL.Options()
            options._timeout = timedelta(seconds=4 * LIMIT_S)  # its watchdog ends the process: we abort long before
            self._group = dist.ProcessGroupNCCL(store, rank, world, options)
        else:
            told = dist.ProcessGroupGloo._Options()  # type: ignore[attr-defined]
            told._timeout = timedelta(seconds=LIMIT_S)  # nothing else ends what hangs
            told._devices = [dist.ProcessGroupGloo.create_device(hostname=address_towards(host))]
            self._group = dist.ProcessGroupGloo(store, rank, world, told)

    @classmethod
    def join(cls, host: str, port: int, backend: str, rank: int, world: int) -> "Group":
        """A worker's end; `Gone` if the trainer is not there."""
        span = timedelta(seconds=LIMIT_S)
        try:
            store = TCPStore(host, port, world, is_master=False, timeout=span, wait_for_workers=False)
            return cls.of_all(store, host, backend, rank, world)
        except RuntimeError as e:
            raise Gone(f"{host}:{port}: {e}") from e

    @classmethod
    def of_all(
        cls, store: Store, host: str, backend: str, rank: int, world: int, check: Callable[[], None] = lambda: None
    ) -> "Group":
        """The group, once all are there: until then each can give up."""
        store.add(READY, 1)
        wait(lambda: store.add(READY, 0) == world, check)
        return cls(store, host, backend, rank, world)

    def broadcast(self, flat: torch.Tensor, check: Callable[[], None] = lambda: None) -> None:
        """[bytes] of rank 0 to all; `Gone` if a peer is lost. `check` is called while it waits, and may raise."""
        try:
            with torch.cuda.device(flat.device) if flat.is_cuda else nullcontext():
                work = self._group.broadcast(flat, 0)
                wait(work.is_completed, check)
                work.wait()  # raises what went wrong; on a GPU, later work is put behind it
        except RuntimeError as e:
            raise Gone(str(e)) from e

    def close(self) -> None:
        """Whoever still waits for us hears of it."""
        self._group.abort()


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
        host = address_towards(urlsplit(url).hostname or "", url)
        world = 1 + world_size(url)
        store = TCPStore(host, 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=LIMIT_S))
        told = {"host": host, "port": store.port, "backend": self.backend, "world": world}
        group = self._together(url, ask, told, lambda check: Group.of_all(store, host, self.backend, 0, world, check))
        self.held[url] = (group, version)

    def send(self, url: str, bucket: Parcel, ask: Ask) -> None:
        """Broadcast it; a group that fails is closed, the next update forms another."""
        group, _ = self.held[url]
        try:
            self._together(url, ask, bucket.told, lambda check: group.broadcast(bucket.flat, check))
        except BaseException:
            self._drop(url)
            raise

    def _together(self, url: str, ask: Ask, told: dict[str, Any], act: Callable[[Callable[[], None]], Found]) -> Found:
        """Act while the server is asked to do its part; the server's error before ours, which follows from it."""
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(ask, told)
            try:
                found = act(lambda: failed(asked))
            except Gone as e:
                self._drop(url)  # the server's end waits no longer
                asked.result()
                remedy = "see the server's log; where a GPU is both the trainer's and the server's, weights go in files"
                raise EndpointError(f"{url}: weights over {self.backend}: {e}", remedy) from e
            asked.result()
            return found

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
