"""A tied child ends with its parent, even one killed outright, and keeps its own exit status."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from r1data.child import tied
from r1data.launch import Child, end_child, run_child
from tests.running import members, wait_until

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_exit_status_and_output_are_the_commands() -> None:
    told = subprocess.run(
        tied([sys.executable, "-c", "print('out'); raise SystemExit(7)"]), capture_output=True, text=True, check=False
    )
    assert (told.returncode, told.stdout) == (7, "out\n")


def test_killed_parent_ends_the_child() -> None:
    code = (
        "import subprocess, time; from r1data.child import tied;"
        f"child = subprocess.Popen(tied({SLEEP!r})); print(child.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        time.sleep(1)  # the child has asked for its signal
        assert alive(pid)
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(pid)


@pytest.mark.parametrize("killed", ["parent and child", "child"])
def test_a_group_ends_with_its_leader(killed: str) -> None:
    """The leader has a child that ignores SIGTERM and does not look who its parent is."""
    orphan = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    leader = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {orphan!r}], check=False)"
    code = (
        "import subprocess, sys, time; from r1data.child import tied;"
        f"child = subprocess.Popen(tied([sys.executable, '-c', {leader!r}], 15), start_new_session=True);"
        "print(child.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        group = int(parent.stdout.readline())
        wait_until(lambda: len(members(group)) == 3, 10)
        time.sleep(0.5)  # the orphan ignores SIGTERM now
        os.kill(group, signal.SIGKILL)
        if killed == "child":
            wait_until(lambda: not members(group), 10)
        parent.send_signal(signal.SIGKILL)
    wait_until(lambda: not members(group), 10)


def test_a_child_whose_parent_is_gone_does_not_begin() -> None:
    command = tied(["echo", "began"])
    command[4] = "1"  # some other process is the parent it was told
    assert subprocess.run(command, capture_output=True, check=True).stdout == b""


@pytest.mark.parametrize(("ignored", "code"), [(False, -signal.SIGTERM), (True, -signal.SIGKILL)])
def test_what_does_not_hear_sigterm_is_killed(ignored: bool, code: int) -> None:
    heard = f"signal.signal(signal.SIGTERM, signal.{'SIG_IGN' if ignored else 'SIG_DFL'})"
    command = [sys.executable, "-c", f"import signal, time; {heard}; print('ready', flush=True); time.sleep(600)"]
    children: set[Child] = set()

    def told(line: str) -> None:
        for child in children:
            end_child(child, 0.5)

    assert run_child(command, told, children) == ["ready", f"exit code {code}"]
