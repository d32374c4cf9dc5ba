"""The walls a jailed process puts up around itself: resource limits, seccomp, landlock. Standard library only.

Each is a few system calls through ctypes; none can be taken down again by the code that runs behind it.
"""

import ctypes
import os
import resource
import struct

CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID = 0x08000000, 0x10000000, 0x20000000
NAMESPACES = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWIPC
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _SECCOMP_FILTER = 1, 4, 22, 38, 2
_CLONE = {"x86_64": 56, "aarch64": 220}[os.uname().machine]
_CLOSE_RANGE, _LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 436, 444, 445, 446
_SIGCHLD = 17
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
MESSAGE = 1 << 16
OPEN_FILES = 32
STACK_BYTES = 64 << 20
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


class Seccomp:
    """A compiled filter (bytes of BPF instructions, eight each) that a process can put on."""

    def __init__(self, program: bytes) -> None:
        self._bytes = ctypes.create_string_buffer(program, len(program))
        self._program = _Program(len(program) // 8, ctypes.cast(self._bytes, ctypes.c_void_p))

    def put_on(self) -> None:
        """For this process and all it starts; raises `OSError`."""
        _must(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
        _must(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_FILTER, ctypes.byref(self._program), 0, 0), "seccomp")


def limit(cpu_seconds: int, memory_bytes: int) -> None:
    """CPU seconds (killed beyond), address space, no file growth, few descriptors, no core."""
    for what, value in (
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (value, value))
    resource.setrlimit(resource.RLIMIT_STACK, (STACK_BYTES, STACK_BYTES))


def die_with_parent() -> None:
    """The kernel kills this process when the one that started it has ended."""
    _must(libc.prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0), "pdeathsig")


def hide() -> None:
    """No other process of this user may look into this one."""
    _must(libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0), "dumpable")


def clone(namespaces: int) -> int:
    """`os.fork`, the child in new namespaces of its own; raises `OSError` where the kernel refuses."""
    if not namespaces:
        return os.fork()
    ctypes.pythonapi.PyOS_BeforeFork()
    pid: int = libc.syscall(_CLONE, namespaces | _SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
    else:
        ctypes.pythonapi.PyOS_AfterFork_Parent()
    _must(pid, "clone")
    return pid


def close_from(lowest: int) -> None:
    """Close every descriptor from `lowest` up."""
    _must(libc.syscall(_CLOSE_RANGE, lowest, 0xFFFFFFFF, 0), "close_range")


def landlock_version() -> int:
    """The kernel's landlock interface; 0 where it has none."""
    version: int = libc.syscall(_LANDLOCK_CREATE, None, 0, 1)
    return max(0, version)


def landlock(readable: list[str], writable: list[str]) -> None:
    """From now on: read below `readable`, write `writable` files, no TCP, no signals out; raises `OSError`."""
    version = landlock_version()
    rights = (1 << 13) - 1 | (version >= 2) << 13 | (version >= 3) << 14 | (version >= 5) << 15
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    attributes = struct.pack("QQQ", rights, 3 if version >= 4 else 0, 3 if version >= 6 else 0)[:size]
    rules = _must(libc.syscall(_LANDLOCK_CREATE, attributes, size, 0), "landlock")
    for path in (*readable, *writable):
        allowed = _READ_FILE | _WRITE_FILE if path in writable else _READ_FILE | _EXECUTE
        if path not in writable and os.path.isdir(path):  # noqa: PTH112 - pathlib is slow to import here
            allowed |= _READ_DIR
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
        _must(libc.syscall(_LANDLOCK_ADD, rules, 1, struct.pack("=Qi", allowed, parent), 0), f"landlock {path}")
        os.close(parent)
    _must(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    _must(libc.syscall(_LANDLOCK_RESTRICT, rules, 0), "landlock")
    os.close(rules)


def _must(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result
