"""A sandbox for each isolation that this machine gives, and what attacks are aimed at."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from r1data.sandbox.jail import isolations
from r1data.sandbox.pool import Sandbox


@pytest.fixture(scope="session", params=["full", "landlock"])
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    why = isolations()[request.param]
    if why:
        pytest.skip(f"this machine gives no isolation {request.param!r}: {why}")
    with Sandbox(request.param) as made:
        yield made


@pytest.fixture(scope="session")
def targets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    """A listening port, a secret file, a token in the environment, a process and a folder, for attacks."""
    folder: Path = tmp_path_factory.mktemp("targets")
    (folder / "secret").write_text("the secret")
    os.environ["SECRET_TOKEN"] = "token-of-the-tests"
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as unix:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen(64)
        port = tcp.getsockname()[1]
        unix.bind(f"\0r1-attack-{port}")
        unix.listen(64)
        victim = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(3600)"])
        try:
            yield {
                "port": port,
                "secret": str(folder / "secret"),
                "token": "token-of-the-tests",
                "pid": victim.pid,
                "folder": str(folder),
            }
        finally:
            assert victim.poll() is None, "an attack ended a process of ours"
            victim.kill()
            victim.wait()
            del os.environ["SECRET_TOKEN"]
