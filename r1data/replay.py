"""Send the lake's lineage events to an OpenLineage backend (Marquez, DataHub, OpenMetadata...), oldest first.

One POST an event, and the next only when the last was taken: a backend sees a START before its COMPLETE. The objects in
the lake stay the source of truth; an event that is sent again is the same event to a backend (run, type, time).
"""

import datetime as dt
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import httpx

from r1data.endpoint import RETRIED, on_loopback
from r1data.errors import EndpointError, LakeError, Refused
from r1data.events import EVENTS
from r1data.storage import Lake

PATH = "/api/v1/lineage"
NAME = re.compile(rf"{EVENTS}/(\d{{4}}-\d\d-\d\d)/(\d{{6}}\.\d{{6}})-[0-9a-f-]{{36}}-([a-z]+)\.json")
ATTEMPTS = 6
FIRST_WAIT_S = 0.5
TIMEOUT_S = 30.0
EVERY_S = 2.0


@dataclass(frozen=True)
class Stored:
    """An event of the lake: its object, when it happened and of which type it is, all by the object's name."""

    name: str
    when: dt.datetime
    kind: str


@dataclass
class Backend:
    """Where events go: the URL of a server, or of its endpoint if that is not `/api/v1/lineage`; a key if it asks."""

    url: str
    key: str | None = field(default=None, repr=False)
    sleep: Callable[[float], None] = time.sleep
    timeout_s: float = TIMEOUT_S

    def __post_init__(self) -> None:
        """`LakeError` for what is no http URL."""
        try:
            found = httpx.URL(self.url)
        except httpx.InvalidURL:
            found = httpx.URL()
        if found.scheme not in ("http", "https") or not found.host:
            raise LakeError(f"{self.url!r}: not the URL of a server", "for example http://localhost:5000")
        if found.path in ("", "/"):
            self.url = self.url.rstrip("/") + PATH

    def send(self, client: httpx.Client, data: bytes) -> None:
        """POST one event; tried again where that may help, `EndpointError` after the last try, `Refused` at once."""
        headers = {"Content-Type": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        fault = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                self.sleep(FIRST_WAIT_S * 2 ** (attempt - 1))
            try:
                answer = client.post(self.url, content=data, headers=headers, timeout=self.timeout_s)
            except httpx.TransportError as e:
                fault = f"{type(e).__name__}: {e}"
                continue
            if answer.is_success:
                return
            fault = f"HTTP {answer.status_code}: {answer.text[:300]}"
            if answer.status_code not in RETRIED and answer.status_code < 500:
                raise Refused(f"{self.url}: {fault}", _remedy(answer.status_code))
        raise EndpointError(f"{self.url}: {fault} ({ATTEMPTS} tries)", "see that the server is up, and push again")


def _remedy(status: int) -> str:
    if status in (401, 403):
        return "put the server's API key into R1_OPENLINEAGE_KEY"
    if status in (301, 302, 307, 308, 404, 405):
        return f"give the server's OpenLineage endpoint, for example http://localhost:5000{PATH}"
    return "the server takes no such event: see its log, and which version of OpenLineage it knows (ours is 2-0-2)"


def stored(lake: Lake, since: dt.datetime | None = None, today: dt.date | None = None) -> list[Stored]:
    """The lake's events, oldest first; with `since` only the days from then on are listed."""
    if since is None:
        names = lake.names(EVENTS)
    else:
        last = today or dt.datetime.now(dt.UTC).date()
        days = [since.date() + dt.timedelta(days=i) for i in range((last - since.date()).days + 1)]
        names = [n for day in days for n in lake.names(f"{EVENTS}/{day}")]
    found = [event for name in names if (event := _stored(name)) is not None]
    return sorted((e for e in found if since is None or e.when >= since), key=lambda e: (e.when, e.name))


def _stored(name: str) -> Stored | None:
    match = NAME.fullmatch(name)
    if match is None:
        return None
    day, clock, kind = match.groups()
    when = dt.datetime.strptime(f"{day} {clock}", "%Y-%m-%d %H%M%S.%f").replace(tzinfo=dt.UTC)
    return Stored(name, when, kind)


def told(events: list[Stored]) -> str:
    """How many of which type, and from when to when."""
    if not events:
        return "no events"
    kinds = ", ".join(f"{n:,} {kind}" for kind, n in sorted(Counter(e.kind for e in events).items()))
    return f"{len(events):,} events ({kinds}), {events[0].when.isoformat()} to {events[-1].when.isoformat()}"


def push(lake: Lake, events: list[Stored], backend: Backend, report: Callable[[str], None] = print) -> int:
    """Send them in their order; how many were sent. An error says from which time on to push again."""
    sent = 0
    with httpx.Client(trust_env=not on_loopback(backend.url)) as client:
        for event in _reported(events, report):
            try:
                backend.send(client, lake.read(event.name))
            except (EndpointError, Refused) as e:
                head = f"{sent:,} of {len(events):,} events sent, then {event.name}: {e.args[0]}"
                raise type(e)(head, f"{e.remedy}; go on with --since {event.when.isoformat()}") from e
            sent += 1
    return sent


def _reported(events: list[Stored], report: Callable[[str], None]) -> Iterator[Stored]:
    last = time.monotonic()
    for i, event in enumerate(events):
        yield event
        if time.monotonic() - last > EVERY_S:
            last = time.monotonic()
            report(f"  {i + 1:,} of {len(events):,} events, {event.when.isoformat()}")


def moment(text: str, now: dt.datetime | None = None) -> dt.datetime:
    """A time as typed: a date, a date and time (UTC unless it says otherwise), or an age such as 90min, 12h or 7d."""
    age = re.fullmatch(r"(\d+)(min|h|d)", text)
    if age:
        seconds = int(age[1]) * {"min": 60, "h": 3_600, "d": 86_400}[age[2]]
        return (now or dt.datetime.now(dt.UTC)) - dt.timedelta(seconds=seconds)
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError as e:
        raise LakeError(f"{text!r}: not a time", "such as 2026-11-20, 2026-11-20T03:00 (UTC), 12h or 7d") from e
    return found.replace(tzinfo=dt.UTC) if found.tzinfo is None else found.astimezone(dt.UTC)
