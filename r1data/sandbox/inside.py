"""The warm interpreter inside the jail: forks one child a job and holds nothing of any job.

Standard library only. A message on the control socket starts a child on descriptors that come with it; code, tests and
answers go through those, never through this process, so that no child can find another's in its memory.
"""

import array
import bisect
import collections
import copy
import datetime
import decimal
import fractions
import functools
import gc
import heapq
import io
import itertools
import json
import math
import operator
import os
import random
import re
import select
import signal
import socket
import statistics
import string
import sys
import traceback
import types
import typing
from dataclasses import dataclass

from r1data.sandbox import job, walls

# what solutions import most, loaded once
PRELOADED = (
    *(array, bisect, collections, copy, datetime, decimal, fractions, functools, heapq, io, itertools, math, operator),
    *(random, re, statistics, string, traceback, types, typing),
)
MOST_DESCRIPTORS = 8
_HIGH = 64
_WARM = """
import sys
class A:
    def f(self, x):
        return [i * 2 for i in range(x)]
def main():
    try:
        with open("/dev/null") as f:
            n = f.read()
    except (OSError, ValueError) as e:
        raise
    d = {i: str(i) for i in range(9)}
    return f"{A().f(3)} {d}", lambda *a, **k: None
main()
"""


@dataclass(frozen=True)
class Child:
    """A process at work: the number of its job, its process id here."""

    number: int
    pid: int


class Zygote:
    """Starts children on request, kills them on request, tells when they end."""

    def __init__(self, control: socket.socket, seccomp: walls.Seccomp, namespaces: int) -> None:
        self.control, self.seccomp, self.namespaces = control, seccomp, namespaces
        self.children: dict[int, Child] = {}
        self.poll = select.poll()
        self.poll.register(control, select.POLLIN)

    def serve(self) -> None:
        """Until the control socket closes; then every child is killed."""
        try:
            while True:
                for ready, _ in self.poll.poll():
                    if ready != self.control.fileno():
                        self._reap(ready)
                    elif not self._take():
                        return
        finally:
            for child in self.children.values():
                os.kill(child.pid, signal.SIGKILL)

    def prove(self) -> None:
        """Have one child put up its walls; raises `OSError` where this machine refuses one."""
        pid = walls.clone(self.namespaces)
        if pid == 0:
            try:
                self.seccomp.put_on()
            except OSError:
                os._exit(job.BROKEN)
            os._exit(0)
        if os.waitpid(pid, 0)[1] != 0:
            raise OSError("seccomp is refused")

    def _take(self) -> bool:
        message, descriptors, _, _ = socket.recv_fds(self.control, walls.MESSAGE, MOST_DESCRIPTORS)
        if not message:
            return False
        asked = json.loads(message)
        if "kill" in asked:
            for child in self.children.values():
                if child.number == asked["kill"]:
                    os.kill(child.pid, signal.SIGKILL)
            return True
        try:
            pid = walls.clone(self.namespaces)
        except OSError as e:
            self._tell({"number": asked["number"], "failed": str(e)})
            pid = -1
        if pid == 0:
            self._become(asked, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        if pid > 0:
            watched = os.pidfd_open(pid)
            self.children[watched] = Child(asked["number"], pid)
            self.poll.register(watched, select.POLLIN)
        return True

    def _become(self, asked: dict[str, int], descriptors: list[int]) -> typing.NoReturn:
        """The child: descriptors in place, walls up, the job; never returns."""
        try:
            moved = [os.dup2(d, _HIGH + i, inheritable=False) for i, d in enumerate(descriptors)]
            for i, descriptor in enumerate(moved):
                os.dup2(descriptor, i)
            walls.close_from(len(moved))
            walls.die_with_parent()
            walls.limit(asked["cpu"], asked["memory"])
            self.seccomp.put_on()
            job.run()
        finally:
            os._exit(job.BROKEN)

    def _reap(self, watched: int) -> None:
        child = self.children.pop(watched)
        self.poll.unregister(watched)
        os.close(watched)
        _, status, used = os.wait4(child.pid, 0)
        self._tell(
            {
                "number": child.number,
                "exit": os.waitstatus_to_exitcode(status),
                "cpu": used.ru_utime + used.ru_stime,
                "kib": used.ru_maxrss,
            }
        )

    def _tell(self, what: dict[str, typing.Any]) -> None:
        self.control.sendall(json.dumps(what).encode())


def warm_up() -> None:
    """Run what every job runs once: a parent that never compiled makes each child pay for it."""
    exec(compile(_WARM, "warm", "exec"), {"__name__": "warm"})
    try:
        exec(compile("1 / 0", "warm", "exec"), {})
    except ZeroDivisionError:
        traceback.format_exc(limit=2)
    reader = io.TextIOWrapper(io.BytesIO(b"1 2\n"), encoding="utf-8", errors="replace")
    reader.readline()
    print("hi", 1.5, file=io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
    re.compile("(a|b)+c?")
    json.loads(json.dumps({"a": [1.5, None]}))
    types.ModuleType("x")


def main() -> None:
    """`inside CONTROL`: the set-up comes first, in one message; then jobs."""
    control = socket.socket(fileno=int(sys.argv[1]))
    setup = json.loads(control.recv(walls.MESSAGE))
    walls.hide()
    os.environ.clear()
    if setup["landlock"]:
        walls.landlock(*setup["landlock"])
    warm_up()
    zygote = Zygote(control, walls.Seccomp(bytes.fromhex(setup["seccomp"])), setup["namespaces"])
    zygote.prove()
    sys.setrecursionlimit(job.RECURSION)
    gc.collect()
    gc.freeze()
    control.sendall(b'{"ready": true}')
    zygote.serve()
