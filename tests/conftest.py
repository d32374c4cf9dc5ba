"""Fixtures of all tests: no test sees the developer's environment."""

import os
from collections.abc import Iterator

import pytest
from filelock import FileLock

from r1data.storage import Lake
from tests.running import run
from tests.s3 import Proxy, Server, proxied


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove settings of this project and of the cloud from the environment."""
    for name in list(os.environ):
        if name.startswith(("R1_", "AWS_", "FSSPEC_", "PREFECT_")):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real S3 server on loopback, started when a test first needs one."""
    server = Server(tmp_path_factory.mktemp("s3"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def proxy(s3: Server) -> Iterator[Proxy]:
    """What counts the requests to that server, and makes faults."""
    with proxied(s3) as found:
        yield found


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake with the whole smoke recipe, run once without interruption (a minute or two: for slow tests).

    Of the processes that share the tests the first makes it, the others wait for it.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "whole"
    with FileLock(f"{folder}.lock"):
        if not (folder / "done").exists():
            run(["run", "smoke"], str(folder / "lake"), folder / "scratch")
            (folder / "done").touch()
    return Lake.open(str(folder / "lake"))
