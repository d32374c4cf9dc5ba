"""The README's section on nights, as it is printed: its commands end with a green run that the schedule began."""

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.ops.processes import marked
from flows.ops.up import State
from r1data.storage import Lake
from tests.prefect_server import post
from tests.running import environment

ROOT = Path(__file__).resolve().parents[2]
NIGHT_S = 480.0
LEFT_OUT = (".venv", ".git", ".up", "lake", ".scratch", ".prefect", "*_cache", "__pycache__", "build", "*.egg-info")


def commands() -> list[str]:
    """Those of the section, in order, comments left out."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"^## Every night\n.*?^```\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert block, "the README has no section `Every night` with commands"
    return [re.sub(r"\s+# .*", "", line) for line in block[1].splitlines()]


def test_the_section_is_what_the_test_below_runs() -> None:
    kinds = [
        "R1_ENGINE=fake make up",
        "export PREFECT_API_URL=",
        "sed -i ",
        "make deploy",
        ".venv/bin/prefect flow-run",
    ]
    found = commands()
    assert len(found) == 7
    assert all(line.startswith(kind) for line, kind in zip(found, [*kinds, "make down", "git checkout"], strict=True))


@pytest.fixture
def checkout() -> Iterator[Path]:
    """The project in a place of its own that the user `nobody` can reach (PostgreSQL), installed by a link.

    Its files are older than the installation, so that `make` does not begin another.
    """
    with tempfile.TemporaryDirectory(prefix="r1-night-") as name:
        Path(name).chmod(0o755)
        folder = Path(name) / "r1data"
        shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*LEFT_OUT))
        for path in folder.rglob("*"):
            os.utime(path, (1, 1))
        (folder / ".venv").symlink_to((ROOT / ".venv").resolve())
        yield folder


def _free_port() -> str:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return str(s.getsockname()[1])


def _run(command: str, folder: Path, env: dict[str, str]) -> str:
    ended = subprocess.run(["bash", "-c", command], cwd=folder, env=env, capture_output=True, text=True, timeout=400)
    assert ended.returncode == 0, f"{command}\n{(ended.stdout + ended.stderr)[-3000:]}"
    return ended.stdout


def _scheduled_and_green(api: str, log: Path) -> dict[str, Any]:
    """The first run of the schedule that is Completed (Skipped is another name)."""
    deadline = time.monotonic() + NIGHT_S
    asked = {"flows": {"name": {"any_": ["nightly"]}}, "sort": "EXPECTED_START_TIME_ASC"}
    while time.monotonic() < deadline:
        runs = post(f"{api}/flow_runs/filter", asked)
        assert [r for r in runs if r["state_type"] in ("FAILED", "CRASHED")] == []
        if green := [r for r in runs if r["state_name"] == "Completed" and r["auto_scheduled"]]:
            found: dict[str, Any] = green[0]
            return found
        time.sleep(2)
    pytest.fail(f"no green night after {NIGHT_S:.0f} s: {log.read_text(errors='replace')[-3000:]}")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_commands_end_with_a_green_scheduled_night(finished: Lake, checkout: Path) -> None:
    """With a lake in which `smoke` is done: the night says that nothing is new."""
    up, export, sed, deploy, listing, down, _ = commands()
    shutil.copytree(finished.root, checkout / "lake")
    port = _free_port()
    told = {"R1_UI_PORT": port, "HOME": str(checkout.parent), "PYTHONPATH": str(checkout)}
    env = environment(checkout / ".scratch", told)
    del env["R1_ENGINE"]  # that is the README's to say
    exported = export.replace(":4200/", f":{port}/")
    try:
        assert exported in _run(up, checkout, env), "make up says the same"
        _run(f"{exported}; {sed}; {deploy}", checkout, env)
        log = checkout / ".up" / "logs" / "worker-gpu.log"
        night = _scheduled_and_green(exported.partition("=")[2], log)
        assert night["created_by"]["type"] == "SCHEDULE"
        assert night["parameters"] == {"recipe": "smoke"}
        assert night["state"]["message"].startswith("nothing new: all ")
        assert "nightly" in _run(f"{exported}; {listing}", checkout, env)
    finally:
        _run(down, checkout, env)
    state = State.model_validate_json((checkout / ".up" / "state.json").read_bytes())
    assert (state.processes, marked(state.mark)) == ((), [])
