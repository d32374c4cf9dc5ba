"""A real S3 server on loopback, for tests: JuiceFS' gateway over a folder."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest


@contextmanager
def s3_server(folder: Path) -> Iterator[dict[str, str]]:
    """Run one; what its clients need in their environment."""
    juicefs = Path(sys.executable).with_name("juicefs")
    meta, port = f"sqlite3://{folder}/meta.db", _free_port()
    options = ["--storage", "file", "--bucket", f"{folder}/blobs/"]
    subprocess.run([juicefs, "format", meta, "lake", *options], check=True, capture_output=True, timeout=60)
    flags = ["--multi-buckets", "--keep-etag", "--no-banner", "--no-usage-report", "--log", f"{folder}/log"]
    place = ["--metrics", f"127.0.0.1:{_free_port()}", "--cache-dir", f"{folder}/cache", meta, f"127.0.0.1:{port}"]
    secret = {"MINIO_ROOT_USER": "testuser", "MINIO_ROOT_PASSWORD": "testsecret"}
    server = subprocess.Popen([juicefs, "gateway", *flags, *place], env={**os.environ, **secret})
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(url)
        yield {
            "AWS_ACCESS_KEY_ID": "testuser",
            "AWS_SECRET_ACCESS_KEY": "testsecret",
            "AWS_ENDPOINT_URL": url,
            "AWS_DEFAULT_REGION": "us-east-1",
        }
    finally:
        server.terminate()
        server.wait(20)


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            httpx.get(url, timeout=2)
        except httpx.TransportError:
            time.sleep(0.2)
        else:
            return
    pytest.fail(f"no S3 server at {url}")
