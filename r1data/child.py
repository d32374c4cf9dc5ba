"""Child processes that end when their parent does, however it ends: `python -m r1data.child SIGNAL PARENT COMMAND...`.

The signal is asked for in the child, after exec: Python code between fork and exec can deadlock where other threads
hold locks. The kernel sends it when the *thread* that started the child ends: that has to live as long (Linux only).

A child that leads a group of its own takes the group with it: vLLM's engine does not notice that its server was killed.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

PR_SET_PDEATHSIG = 1
TIED = "R1_TIED"  # in the environment of what a tied command starts: the id of that command's process


def tied(command: Sequence[str], number: signal.Signals = signal.SIGKILL) -> list[str]:
    """The command line that runs a command until this process ends; SIGTERM for one that has children of its own."""
    return [sys.executable, "-m", "r1data.child", str(int(number)), str(os.getpid()), *command]


def main() -> None:
    """Ask for the signal, leave a process that ends the group, then become the command."""
    number, parent, *command = sys.argv[1:]
    if sys.platform == "linux":
        dies_with_parent(int(number))
        if os.getpgrp() == (leader := os.getpid()) and not os.fork():
            _end_group_of(leader)
    if os.getppid() == int(parent):  # else it ended in between
        os.environ[TIED] = str(os.getpid())
        os.execvp(command[0], command)


def end_with_starter() -> None:
    """For a child of a tied command: end when that does, at once if it already has."""
    dies_with_parent()
    if os.environ.get(TIED, str(os.getppid())) != str(os.getppid()):
        raise SystemExit("the process that started this one has ended")


def dies_with_parent(number: int = signal.SIGKILL) -> None:
    """Ask the kernel to send this process a signal when the thread that started it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number)


def _end_group_of(leader: int) -> NoReturn:
    """Outlive the leader, whatever is sent to the group short of SIGKILL, to send that."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    dies_with_parent(signal.SIGUSR1)
    if os.getppid() == leader:  # else it ended in between
        signal.sigwait({signal.SIGUSR1})
    os.killpg(0, signal.SIGKILL)
    raise SystemExit  # not reached: it is in the group


if __name__ == "__main__":
    main()
