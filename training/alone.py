"""One training at a time works in a scratch folder: a rank waits for an earlier one that still does.

A cancelled training may take minutes to save its state, and the run that was started again saves its own there.
"""

import fcntl
import os
import time
from pathlib import Path
from typing import IO

from r1data.errors import StageFailed

WAIT_S, LOOK_S = 120.0, 0.2
_HELD: dict[Path, IO[str]] = {}  # closed, they would be free


def hold(scratch: Path, rank: int) -> None:
    """Lock this rank's part of a scratch folder until the process ends; `StageFailed` if another keeps it.

    Where the file system has no locks there is none.
    """
    path = scratch / f".lock-{rank}"
    if path in _HELD:
        _HELD.pop(path).close()
    file = path.open("a+", encoding="utf-8")
    deadline = time.monotonic() + WAIT_S
    while not _locked(file):
        file.seek(0)
        holder = f"process {file.read().strip() or 'unknown'}"
        if time.monotonic() > deadline:
            file.close()
            raise StageFailed(f"{scratch}: {holder} still works there", "end it, or wait for it, then run again")
        if deadline - time.monotonic() > WAIT_S - LOOK_S:
            print(f"waits for {holder}, which still works in {scratch}", flush=True)
        time.sleep(LOOK_S)
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    _HELD[path] = file


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True
