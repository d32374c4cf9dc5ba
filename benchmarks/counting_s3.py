"""A folder as a read-only S3 bucket on loopback that counts requests and bytes: what a query really reads.

Whole objects, ranges, HEAD and ListObjectsV2; an unsigned request is refused, signatures are not checked.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from r1data.storage import Lake

BUCKET = "bucket"


@dataclass
class Count:
    """Requests and bytes of bodies since `reset`."""

    requests: int = 0
    bytes: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, size: int) -> None:
        """One answer."""
        with self.lock:
            self.requests += 1
            self.bytes += size

    def reset(self) -> None:
        """Begin again."""
        self.requests = self.bytes = 0


@contextmanager
def counting_s3(folder: Path) -> Iterator[tuple[Lake, Count]]:
    """A lake on S3 that shows the files of a folder, and its count."""
    count = Count()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"folder": folder, "count": count}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield Lake.open(f"s3://{BUCKET}", key="k", secret="s", endpoint_url=url), count
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder: Path
    count: Count

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""

    def do_HEAD(self) -> None:
        """Size of an object."""
        self.do_GET(body=False)

    def do_GET(self, *, body: bool = True) -> None:
        """An object, a range of it, or a list of names."""
        parts = urlsplit(self.path)
        name = unquote(parts.path).removeprefix(f"/{BUCKET}").lstrip("/")
        if "Authorization" not in self.headers:
            self._answer(403, b"<Error><Code>AccessDenied</Code></Error>", body)
        elif not name:
            self._answer(200, self._listed(parse_qs(parts.query).get("prefix", [""])[0]), body)
        elif not (self.folder / name).is_file():
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>", body)
        else:
            self._object(self.folder / name, body)

    def _object(self, path: Path, body: bool) -> None:
        size = path.stat().st_size
        told = self.headers.get("Range", "").removeprefix("bytes=")
        if not told:
            self._answer(200, path.read_bytes() if body else b"", body, {"Content-Length": str(size)})
            return
        first, _, last = told.partition("-")
        start = int(first) if first else max(size - int(last), 0)
        end = min(int(last) + 1 if first and last else size, size)
        with path.open("rb") as f:
            f.seek(start)
            data = f.read(end - start)
        self._answer(206, data, body, {"Content-Range": f"bytes {start}-{end - 1}/{size}"})

    def _listed(self, prefix: str) -> bytes:
        files = sorted(p for p in self.folder.rglob("*") if p.is_file())
        names = [(n, p) for p in files if (n := str(p.relative_to(self.folder))).startswith(prefix)]
        told = "".join(
            f"<Contents><Key>{escape(n)}</Key><Size>{p.stat().st_size}</Size>"
            '<LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>"0"</ETag></Contents>'
            for n, p in names
        )
        return f"<ListBucketResult><IsTruncated>false</IsTruncated>{told}</ListBucketResult>".encode()

    def _answer(self, status: int, data: bytes, body: bool, headers: dict[str, str] | None = None) -> None:
        if body:
            self.count.add(len(data))
        else:
            self.count.add(0)
        self.send_response(status)
        told = {"Content-Length": str(len(data)), "ETag": '"0"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
        for name, value in (told | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(data)
