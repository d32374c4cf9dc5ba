"""Telemetry is off in whatever is started here, unless somebody asked for it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from r1data.launch import run_child
from r1data.telemetry import SWITCHES, switch_off, switched_on

ROOT = Path(__file__).resolve().parents[2]
SHOW = "import os; from r1data.telemetry import SWITCHES; print(*(f'{n}={os.environ.get(n)}' for n in SWITCHES))"
OFF = " ".join(f"{name}={value}" for name, value in SWITCHES.items())


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where nobody said anything."""
    for name in SWITCHES:
        monkeypatch.delenv(name, raising=False)


def test_what_the_user_set_wins() -> None:
    environ = {"DO_NOT_TRACK": "0"}
    switch_off(environ)
    assert environ == {**SWITCHES, "DO_NOT_TRACK": "0"}
    assert switched_on(environ) == ["DO_NOT_TRACK=0"]
    assert switched_on({"PREFECT_SERVER_ANALYTICS_ENABLED": "False"}) == []


@pytest.mark.parametrize("module", ["flows", "training"])
def test_importing_what_uses_dependencies_switches_off(module: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", f"import {module}; {SHOW}"], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert run.stdout.strip() == OFF, run.stderr


def test_children_get_the_switches_without_any_in_the_parent() -> None:
    told: list[str] = []
    assert run_child([sys.executable, "-c", SHOW], told.append) is None
    assert told == [OFF]
    assert not SWITCHES.keys() & os.environ.keys()


def test_make_up_switches_off() -> None:
    code = f"from flows.ops.__main__ import main\ntry: main([])\nexcept SystemExit: pass\n{SHOW}"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert run.stdout.splitlines()[-1] == OFF, run.stderr


def test_operations_names_every_switch() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert [name for name, value in SWITCHES.items() if f"`{name}={value}`" not in page] == []
