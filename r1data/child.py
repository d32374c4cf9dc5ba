"""Child processes that end when their parent does, however it ends: `python -m r1data.child SIGNAL PARENT COMMAND...`.

The signal is asked for in the child, after exec: Python code between fork and exec can deadlock where other threads
hold locks. The kernel sends it when the *thread* that started the child ends: that has to live as long (Linux only).
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1


def tied(command: Sequence[str], number: signal.Signals = signal.SIGKILL) -> list[str]:
    """The command line that runs a command until this process ends; SIGTERM for one that has children of its own."""
    return [sys.executable, "-m", "r1data.child", str(int(number)), str(os.getpid()), *command]


def main() -> None:
    """Ask for the signal, then become the command."""
    number, parent, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(number))
    if os.getppid() == int(parent):  # else it ended in between
        os.execvp(command[0], command)


if __name__ == "__main__":
    main()
