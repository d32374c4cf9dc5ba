"""Usage reports are off for every entry point, and what the user has set stays."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from r1data.telemetry import OFF, off

ROOT = Path(__file__).resolve().parents[2]


def test_what_the_user_set_stays() -> None:
    environ = {"DO_NOT_TRACK": "0"}
    off(environ)
    assert environ == {**OFF, "DO_NOT_TRACK": "0"}


@pytest.mark.parametrize(
    "code",
    [
        "from r1data.cli import main; sys.argv = ['r1', '--help']; main()",
        "from flows.ops.__main__ import main; main([])",
    ],
    ids=["r1", "make up"],
)
def test_entry_points_turn_them_off(code: str) -> None:
    shown = "print('OFF', [k for k in OFF if k in os.environ])"
    text = f"import os, sys\nfrom r1data.telemetry import OFF\ntry:\n    {code}\nexcept SystemExit: pass\n{shown}"
    bare = {k: v for k, v in os.environ.items() if k not in OFF}
    run = subprocess.run([sys.executable, "-c", text], env=bare, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert run.stdout.splitlines()[-1] == f"OFF {list(OFF)}", run.stderr


def test_operations_names_every_variable() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert [name for name, value in OFF.items() if f"`{name}={value}`" not in page] == []
