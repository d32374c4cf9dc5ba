"""A real S3 server (JuiceFS gateway) in a process of its own; before it a proxy that counts requests and makes faults.

Signatures stay valid behind the proxy: the Host header is passed on as the client signed it.
"""

import http.client
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from r1data.storage import Lake

KEY, SECRET = "testuser", "testsecret"
HOP = {"connection", "expect", "keep-alive", "transfer-encoding"}
ERROR = "<?xml version='1.0'?><Error><Code>{0}</Code><Message>{0} made by the test</Message></Error>"
CODES = {403: "AccessDenied", 500: "InternalError", 503: "SlowDown"}


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def environment(endpoint: str) -> dict[str, str]:
    """What a client of an endpoint needs in its environment."""
    return {
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@dataclass
class Server:
    """A JuiceFS gateway on a folder: what it has acknowledged survives `kill` and `start`."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        """Its endpoint."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def meta(self) -> str:
        """Where it keeps names."""
        return f"sqlite3://{self.folder}/meta.db"

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs in its environment."""
        return environment(self.url)

    def start(self) -> None:
        """Start it and wait until it answers; on the first start its storage is made."""
        if not (self.folder / "meta.db").exists():
            options = ["--storage", "file", "--bucket", f"{self.folder}/blobs/"]
            self._juicefs("format", self.meta, "lake", *options).wait(60)
        flags = ["--multi-buckets", "--keep-etag", "--no-banner", "--no-usage-report", "--log", f"{self.folder}/log"]
        place = ["--metrics", f"127.0.0.1:{free_port()}", "--cache-dir", f"{self.folder}/cache"]
        self.process = self._juicefs("gateway", *flags, *place, self.meta, f"127.0.0.1:{self.port}")
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.process.poll() is None:
            with suppress(httpx.TransportError):
                httpx.get(self.url, timeout=2)
                return
            time.sleep(0.1)
        raise AssertionError(f"no S3 server at {self.url}: {(self.folder / 'log').read_text()[-500:]}")

    def kill(self) -> None:
        """kill -9, by its id."""
        if self.process:
            self.process.kill()
            self.process.wait(20)

    def _juicefs(self, *arguments: str) -> "subprocess.Popen[bytes]":
        secret = {"MINIO_ROOT_USER": KEY, "MINIO_ROOT_PASSWORD": SECRET}
        command = [str(Path(sys.executable).with_name("juicefs")), *arguments]
        quiet = subprocess.DEVNULL
        return subprocess.Popen(command, env={**os.environ, **secret}, stdout=quiet, stderr=quiet)


@dataclass
class Request:
    """One request: what S3 calls it, the object or prefix, its headers."""

    kind: str
    name: str
    headers: dict[str, str]


@dataclass
class Fault:
    """What goes wrong: a status that the server did not send, or `hang`, `reset`, `torn`, `torn_upload`, `lost`, `ok`.

    `torn` breaks off in the middle of the answer's body, `torn_upload` of the request's; `lost` is done by the server
    and never answered; `ok` is answered and never done.
    """

    what: int | str
    kinds: tuple[str, ...]
    times: int = 1
    name: str = ""


@dataclass
class Proxy:
    """Between a client and a server: keeps what passed in `seen`, and does the `faults` that match, each some times.

    `watch` is called before a request is passed on, `answered` when the server's whole answer is there.
    """

    server: Server
    seen: list[Request] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    watch: Callable[[Request], None] = lambda _: None
    answered: Callable[[Request, int], None] = lambda request, status: None
    port: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        """The endpoint to give to clients."""
        return f"http://127.0.0.1:{self.port}"

    def lake(self, bucket: str, **options: Any) -> Lake:
        """A lake in a bucket of its own, through the proxy."""
        found = Lake.open(f"s3://{bucket}/lake", **{"key": KEY, "secret": SECRET, "endpoint_url": self.url, **options})
        if not found.fs.exists(bucket):
            found.fs.mkdir(bucket)
        return found

    @contextmanager
    def counted(self) -> Iterator["Counter[str]"]:
        """The requests made meanwhile, by kind; filled at the end."""
        start, found = len(self.seen), Counter[str]()
        yield found
        found.update(r.kind for r in self.seen[start:])

    def fault(self, request: Request) -> int | str | None:
        """The next fault for a request, used up."""
        with self.lock:
            self.seen.append(request)
            for fault in self.faults:
                if fault.times and request.kind in fault.kinds and fault.name in request.name:
                    fault.times -= 1
                    return fault.what
        return None


@contextmanager
def proxied(server: Server, proxy: Proxy | None = None) -> Iterator[Proxy]:
    """A proxy, or this one, on a port of its own."""
    proxy = proxy or Proxy(server)

    class Handler(_Handler):
        pass

    Handler.proxy = proxy
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        listener.daemon_threads = True
        proxy.port = listener.server_address[1]
        thread = threading.Thread(target=listener.serve_forever, args=(0.05,))
        thread.start()
        yield proxy
        proxy.closing.set()
        listener.shutdown()
        thread.join()


def kind_of(method: str, query: dict[str, list[str]], headers: dict[str, str]) -> str:
    """What S3 calls a request."""
    if method == "GET":
        return "LIST" if "list-type" in query else "GET"
    if method == "PUT" and "partNumber" in query:
        return "PART"
    if method == "PUT" and "x-amz-copy-source" in headers:
        return "COPY"
    if method == "POST":
        return "COMPLETE" if "uploadId" in query else "CREATE" if "uploads" in query else "POST"
    return "ABORT" if method == "DELETE" and "uploadId" in query else method


class _Handler(BaseHTTPRequestHandler):
    proxy: Proxy
    protocol_version = "HTTP/1.1"
    timeout = 60

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""

    def handle(self) -> None:
        """Clients may go away at any time."""
        with suppress(ConnectionError, TimeoutError):
            super().handle()

    def pass_on(self) -> None:
        url = urlsplit(self.path)
        query = parse_qs(url.query, keep_blank_values=True)
        headers = {k.lower(): v for k, v in self.headers.items()}
        name = query.get("prefix", [url.path.lstrip("/")])[0]
        request = Request(kind_of(self.command, query, headers), name, headers)
        fault = self.proxy.fault(request)
        self.proxy.watch(request)
        if fault in ("reset", "hang", "torn_upload"):
            self._broken(str(fault))
            return
        body = self._body()
        if isinstance(fault, int):
            self._answer(fault, {}, ERROR.format(CODES.get(fault, str(fault))).encode())
        elif fault == "ok":
            self._answer(200, {"ETag": '"0"'}, b"")
        else:
            self._forwarded(request, body, fault)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = pass_on

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        found = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return found

    def _forwarded(self, request: Request, body: bytes, fault: int | str | None) -> None:
        server = http.client.HTTPConnection("127.0.0.1", self.proxy.server.port, timeout=60)
        try:
            passed = {k: v for k, v in request.headers.items() if k not in HOP}
            passed["content-length"] = str(len(body))
            server.request(self.command, self.path, body, passed)
            answer = server.getresponse()
            data, found = answer.read(), dict(answer.getheaders())
        except (OSError, http.client.HTTPException):  # it is down, as its client should see
            self._broken("reset")
            return
        finally:
            server.close()
        if fault == "lost":
            self._broken("reset")
        else:
            self.proxy.answered(request, answer.status)
            self._answer(answer.status, found, data, torn=fault == "torn")

    def _answer(self, status: int, headers: dict[str, str], body: bytes, torn: bool = False) -> None:
        self.send_response_only(status)
        told = {k: v for k, v in headers.items() if k.lower() not in HOP}
        if "content-length" not in {k.lower() for k in told}:
            told["Content-Length"] = str(len(body))
        for name, value in told.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if torn else body)
        if torn:
            self._broken("reset")

    def _broken(self, how: str) -> None:
        """Close the connection with a reset; after half of the upload, or after a while without an answer."""
        if how == "torn_upload":
            self.rfile.read(int(self.headers.get("Content-Length", 0)) // 2)
        if how == "hang":
            self.proxy.closing.wait(30)
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()
