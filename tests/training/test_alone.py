"""Two trainings never work in one scratch folder."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from r1data.errors import StageFailed
from training import alone

RANK = """
import sys, time
from pathlib import Path
from training.alone import hold
hold(Path(sys.argv[1]), 0)
print("works", flush=True)
time.sleep(600)
"""


def started(program: str, scratch: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", program, str(scratch)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).resolve().parents[2])


def test_later_one_waits_for_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = started(RANK, tmp_path)
    assert before.stdout is not None
    assert before.stdout.readline() == "works\n"
    monkeypatch.setattr(alone, "WAIT_S", 0.5)
    with pytest.raises(StageFailed, match=f"process {before.pid} still works there"):
        alone.hold(tmp_path, 0)
    alone.hold(tmp_path, 1)  # every rank has a lock of its own
    after = started(RANK, tmp_path)
    assert after.stdout is not None
    assert after.stdout.readline() == f"waits for process {before.pid}, which still works in {tmp_path}\n"
    before.send_signal(signal.SIGKILL)
    before.wait()
    assert after.stdout.readline() == "works\n"
    after.kill()
    for process in (before, after):
        process.communicate()


def test_same_process_may_come_again(tmp_path: Path) -> None:
    began = time.monotonic()
    alone.hold(tmp_path, 0)
    alone.hold(tmp_path, 0)
    assert time.monotonic() - began < alone.WAIT_S
    assert (tmp_path / ".lock-0").read_text() == str(os.getpid())
