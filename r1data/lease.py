"""An advisory lease on what two runs must not pay for twice: a small object with its owner, renewed while it is held.

It saves money and nothing else: two writers at once are harmless, since everything is keyed by content.
"""

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from r1data.errors import LakeError, LeaseHeld, RunStopped, StorageError, StoreUnavailable
from r1data.storage import Lake

RENEWED_S = 10.0
EXPIRES_S = 60.0
LOOK_S = 1.0
SETTLED_S = 0.05


@contextmanager
def lease(
    lake: Lake,
    name: str,
    report: Callable[[str], None],
    *,
    wait: bool = True,
    stopped: threading.Event | None = None,
) -> Iterator[None]:
    """Hold `leases/NAME.json`; another's is waited for, or `LeaseHeld` where `wait` is false.

    Raises `RunStopped` if `stopped` is set while it waits.
    """
    path, me = f"leases/{name}.json", _me()
    _acquire(lake, path, me, report, wait, stopped or threading.Event())
    ended = threading.Event()
    renewing = threading.Thread(target=_renew, args=(lake, path, me, ended), daemon=True)
    renewing.start()
    try:
        yield
    finally:
        ended.set()
        renewing.join()
        with suppress(StorageError, StoreUnavailable):  # what was done under it is done; it expires by itself
            if _owner(lake, path).get("owner") == me["owner"]:
                lake.delete(path)


def _acquire(
    lake: Lake, path: str, me: dict[str, Any], report: Callable[[str], None], wait: bool, stopped: threading.Event
) -> None:
    seen, since, told = None, time.monotonic(), False
    while True:
        held = _owner(lake, path)
        if held.get("owner") == me["owner"]:
            return
        if held != seen:
            seen, since = held, time.monotonic()
        if not held or gone(held) or time.monotonic() - since > EXPIRES_S:
            lake.write(path, json.dumps({**me, "renewed": time.time()}).encode())
            time.sleep(SETTLED_S)  # of two who write at once the later one wins; both look again
            continue
        who = f"process {held.get('pid')} on {held.get('host')}"
        if not wait:
            remedy = "wait for it to end, or let this run wait (R1_LEASE=wait)"
            raise LeaseHeld(f"{lake.uri(path)}: held by {who}", remedy)
        if not told:
            report(f"waits for {who}, which works on the same; a lease not renewed for {EXPIRES_S:.0f} s ends")
            told = True
        if stopped.wait(LOOK_S):
            raise RunStopped(f"{lake.uri(path)}: the run was stopped while it waited for {who}", "run again")


def _renew(lake: Lake, path: str, me: dict[str, Any], ended: threading.Event) -> None:
    while not ended.wait(RENEWED_S):
        with suppress(StorageError, StoreUnavailable):  # the next one may be written before it expires
            if _owner(lake, path).get("owner") not in (None, me["owner"]):
                return  # this process was asleep for too long
            lake.write(path, json.dumps({**me, "renewed": time.time()}).encode())


def _owner(lake: Lake, path: str) -> dict[str, Any]:
    """Who holds it; empty if nobody does."""
    try:
        found = json.loads(lake.read(path))
    except (LakeError, ValueError):  # none, or torn
        return {}
    return found if isinstance(found, dict) else {}


def _me() -> dict[str, Any]:
    return {"owner": uuid.uuid4().hex, **this_process()}


def this_process() -> dict[str, str | int]:
    """What tells this process from any other, on any machine."""
    pid = os.getpid()
    return {"host": _host(), "pid": pid, "process_started": _process_started(pid)}


def gone(held: Mapping[str, Any]) -> bool:
    """Whether that process was on this machine and has ended; clocks of others are not trusted."""
    return held.get("host") == _host() and held.get("process_started") != _process_started(int(held.get("pid", 0)))


def _host() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{socket.gethostname()}/{boot.read_text().strip() if boot.exists() else ''}"


def _process_started(pid: int) -> str:
    """The kernel's start time of a process: a number used again is another process. Empty if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return fields[19] if fields[0] != "Z" else ""
