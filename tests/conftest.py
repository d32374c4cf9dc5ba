"""Fixtures of all tests: no test sees the developer's environment."""

import os

import pytest

from r1data.storage import Lake
from tests.running import run


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove settings of this project and of the cloud from the environment."""
    for name in list(os.environ):
        if name.startswith(("R1_", "AWS_", "PREFECT_")):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake with the whole smoke recipe, run once without interruption (a minute or two: for slow tests)."""
    folder = tmp_path_factory.mktemp("whole")
    run(["run", "smoke"], str(folder / "lake"), folder / "scratch")
    return Lake.open(str(folder / "lake"))
