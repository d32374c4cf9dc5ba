"""Fixtures of all tests: no test sees the developer's environment."""

import os

import pytest


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove settings of this project and of the cloud from the environment."""
    for name in list(os.environ):
        if name.startswith(("R1_", "AWS_", "PREFECT_")):
            monkeypatch.delenv(name)
