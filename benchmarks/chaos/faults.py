"""A proxy before the S3 server that makes faults at points drawn from a seed, and says what became of each.

Every so many requests one is answered 500, held until its client gives up, cut off in the middle of its upload, or
answered late. Some 500s are outages: a dozen in a row for one object, more than the client's ten tries.
"""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.s3 import Proxy, Request

KINDS = {"500": 0.42, "torn upload": 0.26, "slow": 0.24, "time-out": 0.08}
ACTS: dict[str, int | str] = {"500": 500, "torn upload": "torn_upload", "time-out": "hang"}
UPLOADS = ("PUT", "PART")
SLOW_S = (0.5, 2.0)
CLIENT_S = 5  # how long a client of this campaign waits for an answer; r1data leaves it at 15
OUTAGE, OUTAGE_SHARE, OUTAGE_S = 12, 0.03, 20.0
ASKED_S = 120.0
SAME = "absorbed: the client tried again"
ANEW = "absorbed: asked anew by a second call, a retried task or a rerun"
LATE = "absorbed: waited for"
NEVER = "its process was killed or failed before it could ask again"


@dataclass
class Made:
    """A fault that was made, until it is known what became of it."""

    what: str
    kind: str
    name: str
    call: str
    at: float


@dataclass
class Faulty(Proxy):
    """Makes up to `left` faults, one in `every` requests on average; `told` gets kind, request, name and outcome."""

    left: int = 0
    every: float = 8.0
    rng: random.Random = field(default_factory=random.Random)
    told: Callable[[str, str, str, str], None] = lambda what, kind, name, outcome: None
    open: list[Made] = field(default_factory=list)
    outages: dict[str, tuple[int, float]] = field(default_factory=dict)
    awaiting: list[str] = field(default_factory=list)
    until: int = 0
    active: threading.Event = field(default_factory=threading.Event)

    def fault(self, request: Request) -> int | str | None:
        """What goes wrong with this request, if anything does."""
        self.settle()
        with self.lock:
            self.until -= 1
            what = self._drawn(request) if self.left > 0 and self.active.is_set() else None
            if what is None:
                return None
            self.left -= 1
            if what != "slow":
                call = request.headers.get("amz-sdk-invocation-id", "")
                self.open.append(Made(what, request.kind, request.name, call, time.monotonic()))
                return ACTS[what]
            late = self.rng.uniform(*SLOW_S)
        self.closing.wait(late)
        self.told("slow", request.kind, request.name, LATE)
        return None

    def _drawn(self, request: Request) -> str | None:
        """The kind of fault for this request: of an outage, one that waited for an upload, or a new one."""
        if outage := self.outages.get(request.name):
            number, end = outage
            if number and time.monotonic() < end:
                self.outages[request.name] = (number - 1, end)
                return "500"
            del self.outages[request.name]
        if self.awaiting and request.kind in UPLOADS:
            return self.awaiting.pop()
        if self.until > 0:
            return None
        self.until = max(1, round(self.rng.expovariate(1 / self.every)))
        what = self.rng.choices(list(KINDS), list(KINDS.values()))[0]
        if what == "torn upload" and request.kind not in UPLOADS:
            self.awaiting.append(what)
            return None
        if what == "500" and self.rng.random() < OUTAGE_SHARE:
            self.outages[request.name] = (OUTAGE, time.monotonic() + OUTAGE_S)
        return what

    def passed(self, request: Request, status: int) -> None:
        """An answer came: what went wrong before with the same object was absorbed."""
        if status >= 500:
            return
        call = request.headers.get("amz-sdk-invocation-id", "")
        with self.lock:
            same = [m for m in self.open if (m.kind, m.name) == (request.kind, request.name)]
            self.open = [m for m in self.open if m not in same]
        for made in same:
            self.told(made.what, made.kind, made.name, SAME if made.call == call and call else ANEW)

    def settle(self, everything: bool = False) -> None:
        """Give up on faults that nobody has asked again about for a while."""
        before = time.monotonic() - (0 if everything else ASKED_S)
        with self.lock:
            old = [m for m in self.open if m.at < before]
            self.open = [m for m in self.open if m.at >= before]
        for made in old:
            self.told(made.what, made.kind, made.name, NEVER)
