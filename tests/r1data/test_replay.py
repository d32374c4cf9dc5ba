"""`r1 lineage push` against a real HTTP server that checks what arrives."""

import datetime as dt
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from r1data.errors import EndpointError, LakeError, Refused
from r1data.replay import ATTEMPTS, Backend, moment, push, stored
from r1data.storage import Lake
from tests.openlineage_schemas import check_event
from tests.r1data.cli.test_cli import Typed, r1
from tests.r1data.inspect.tiny_lake import make_lake, nodes

__all__ = ["r1"]
NOW = dt.datetime(2026, 11, 21, 12, 30, tzinfo=dt.UTC)


class Receiver:
    """An OpenLineage backend that validates events; `answers` are statuses that it gives before it takes any."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.paths: list[str] = []
        self.answers: list[int] = []
        self.invalid: list[str] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def _take(self, path: str, key: str | None, body: bytes) -> int:
        self.paths.append(path)
        self.keys.append(key)
        if self.answers:
            return self.answers.pop(0)
        event = json.loads(body)
        try:
            check_event(event)
        except Exception as e:  # noqa: BLE001  told by the test
            self.invalid.append(str(e))
            return 422
        self.events.append(event)
        return 201

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = receiver._take(self.path, self.headers.get("Authorization"), body)
                self.send_response(status)
                self.send_header("Content-Length", "4")
                self.end_headers()
                self.wfile.write(b"told")

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return make_lake(tmp_path_factory.mktemp("replay") / "lake")


def backend(receiver: Receiver, waits: list[float] | None = None) -> Backend:
    return Backend(receiver.url, sleep=(waits if waits is not None else []).append)


def test_every_event_arrives_once_valid_and_oldest_first(lake: Lake, receiver: Receiver) -> None:
    events = stored(lake)
    assert push(lake, events, backend(receiver), report=lambda _: None) == 2 * len(nodes())
    assert receiver.invalid == []
    assert receiver.events == [json.loads(lake.read(e.name)) for e in events]
    times = [e["eventTime"] for e in receiver.events]
    assert times == sorted(times)
    assert set(receiver.paths) == {"/api/v1/lineage"}
    assert set(receiver.keys) == {None}


def test_since_leaves_out_what_is_older(lake: Lake) -> None:
    events = stored(lake)
    assert stored(lake, since=events[3].when) == events[3:]
    assert stored(lake, since=events[-1].when + dt.timedelta(microseconds=1)) == []


def test_a_server_error_is_tried_again_with_longer_waits(lake: Lake, receiver: Receiver) -> None:
    receiver.answers = [503, 500, 429]
    waits: list[float] = []
    push(lake, stored(lake)[:2], backend(receiver, waits), report=lambda _: None)
    assert len(receiver.events) == 2
    assert waits == [0.5, 1.0, 2.0]


def test_a_server_that_stays_down_is_one_clear_error(lake: Lake, receiver: Receiver) -> None:
    events = stored(lake)
    receiver.answers = [503] * 100
    with pytest.raises(
        EndpointError, match=rf"0 of {len(events)} events sent.*HTTP 503: told \({ATTEMPTS} tries\)"
    ) as e:
        push(lake, events, backend(receiver), report=lambda _: None)
    assert f"--since {events[0].when.isoformat()}" in e.value.remedy


def test_nobody_there_is_one_clear_error(lake: Lake, receiver: Receiver) -> None:
    receiver.server.server_close()
    with pytest.raises(EndpointError, match="ConnectError"):
        push(lake, stored(lake), backend(receiver), report=lambda _: None)


def test_a_timeout_is_tried_again(lake: Lake) -> None:
    asked: list[int] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(1)
        if len(asked) == 1:
            raise httpx.ReadTimeout("slow", request=request)
        return httpx.Response(201)

    with httpx.Client(transport=httpx.MockTransport(answer)) as client:
        Backend("http://b", sleep=lambda _: None).send(client, b"{}")
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("status", "remedy"), [(401, "R1_OPENLINEAGE_KEY"), (404, "/api/v1/lineage"), (422, "takes no such event")]
)
def test_a_refusal_is_not_tried_again(lake: Lake, receiver: Receiver, status: int, remedy: str) -> None:
    events = stored(lake)
    receiver.answers = [201, status]
    with pytest.raises(Refused, match=f"1 of {len(events)} events sent.*HTTP {status}: told") as caught:
        push(lake, events, backend(receiver), report=lambda _: None)
    assert remedy in caught.value.remedy
    assert f"--since {events[1].when.isoformat()}" in caught.value.remedy
    assert len(receiver.paths) == 2


@pytest.mark.parametrize("url", ["localhost:5000", "ftp://x", "http://", ""])
def test_what_is_no_server_is_refused(url: str) -> None:
    with pytest.raises(LakeError, match="not the URL of a server"):
        Backend(url)


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("2026-11-20", "2026-11-20T00:00:00+00:00"),
        ("2026-11-20T03:00", "2026-11-20T03:00:00+00:00"),
        ("2026-11-20T03:00+02:00", "2026-11-20T01:00:00+00:00"),
        ("12h", "2026-11-21T00:30:00+00:00"),
        ("7d", "2026-11-14T12:30:00+00:00"),
    ],
)
def test_times_as_people_type_them(text: str, when: str) -> None:
    assert moment(text, NOW).isoformat() == when


def test_what_is_no_time_is_refused() -> None:
    with pytest.raises(LakeError, match="'tomorrow': not a time"):
        moment("tomorrow")


def test_the_command_sends_with_the_key(
    lake: Lake, receiver: Receiver, r1: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("R1_OPENLINEAGE_KEY", "planted-secret")
    code, out, err = r1("lineage", "push", f"{receiver.url}/elsewhere", "--lake", lake.url)
    assert (code, f"{2 * len(nodes())} events sent" in out) == (0, True)
    assert (set(receiver.keys), set(receiver.paths)) == ({"Bearer planted-secret"}, {"/elsewhere"})
    assert "planted-secret" not in out + err


def test_a_dry_run_sends_nothing(lake: Lake, receiver: Receiver, r1: Typed) -> None:
    code, out, _ = r1("lineage", "push", receiver.url, "--dry-run", "--since", "1h", "--lake", lake.url)
    n = len(nodes())
    assert code == 0
    assert f"{2 * n} events ({n} complete, {n} start)" in out
    assert "nothing was sent" in out
    assert receiver.paths == []


def test_an_empty_lake_has_nothing_to_send(tmp_path: Path, receiver: Receiver, r1: Typed) -> None:
    code, out, _ = r1("lineage", "push", receiver.url, "--lake", str(tmp_path / "none"))
    assert (code, "no events" in out) == (0, True)
