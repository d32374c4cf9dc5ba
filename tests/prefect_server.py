"""A real Prefect server of a test's own: free port, fresh database."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

START_S = 120.0
BUSY_S = 90.0  # a database that is locked on a loaded machine: the server says 503, and Prefect's own client asks again


def asked(method: str, url: str, body: Any = None) -> Any:
    """The API's answer, as patient with a busy server as Prefect's client is."""
    deadline = time.monotonic() + BUSY_S
    while (answer := httpx.request(method, url, json=body, timeout=60)).status_code == 503:
        assert time.monotonic() < deadline, f"{method} {url}: 503 for {BUSY_S:.0f} s"
        time.sleep(0.5)
    answer.raise_for_status()
    return answer.json() if answer.content else None


def post(url: str, body: Any) -> Any:
    """What the API answers to a body."""
    return asked("POST", url, body)


def get(url: str) -> Any:
    """What the API has there."""
    return asked("GET", url)


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


def _environment(home: Path, url: str) -> dict[str, str]:
    return {
        **os.environ,
        "PREFECT_UI_API_URL": url,  # the interface does not learn the port by itself
        "PREFECT_HOME": str(home),
        "PREFECT_LOCAL_STORAGE_PATH": str(home / "storage"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }


def _wait_until_healthy(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        assert server.poll() is None, log.read_text(errors="replace")[-2000:]
        try:
            if httpx.get(f"{url}/health", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    pytest.fail(f"no Prefect server after {START_S:.0f} s: {log.read_text(errors='replace')[-2000:]}")


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, Path]]:
    """The API of a server of its own (free port, fresh database) and the file with its log."""
    port, log = _free_port(), folder / "server.log"
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    url = f"http://127.0.0.1:{port}/api"
    env = _environment(folder / "home", url)
    with log.open("wb") as out:
        server = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=env, start_new_session=True)
        try:
            _wait_until_healthy(url, server, log)
            yield url, log
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            try:
                server.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()
