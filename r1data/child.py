"""Child processes that end when their parent does, however it ends."""

import ctypes
import signal
import sys

PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """In a child before exec: the kernel sends SIGKILL when the thread that started it ends (Linux only)."""
    _signal_at_parents_end(signal.SIGKILL)


def stop_with_parent() -> None:
    """The same with SIGTERM, for a child that has children of its own to end (vLLM's engine)."""
    _signal_at_parents_end(signal.SIGTERM)


def _signal_at_parents_end(number: signal.Signals) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number)
