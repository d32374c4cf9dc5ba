"""Two ranks on two nodes of a real Ray cluster: the checkpoint of torchrun; a job that is stopped saves its state."""

import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from r1data.cluster_params import ClusterParams
from r1data.errors import StageFailed
from r1data.launch import Child, TrainingJob, end_child, launch, seconds_to_end
from r1data.manifest import Manifest, read_manifest
from r1data.ray_params import RayParams
from r1data.recipe import SHIPPED, load_recipe
from r1data.refs import move_ref
from r1data.stages import node_named
from r1data.storage import Lake
from tests.ray_cluster import RayCluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
STEPS = 4


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[RayCluster]:
    with RayCluster() as found:
        for name, value in found.environment.items():
            monkeypatch.setenv(name, value)
        yield found


def recipe(folder: Path, epochs: int) -> Path:
    """The smoke recipe with a batch of 8 in dev1, whose state is saved at the end or when it is told to stop."""
    text = (SHIPPED / "smoke.toml").read_text(encoding="utf-8")
    section = f"[dev1]\nepochs = {epochs}\nbatch = 8\nsave_every = 1_000_000\n"
    path = folder / f"epochs-{epochs}.toml"
    path.write_text(text.replace("[dev1]\nepochs = 1\nsave_every = 1\n", section), encoding="utf-8")
    assert section in path.read_text(encoding="utf-8")
    return path


def job(lake: Lake, inputs: dict[str, Manifest], file: Path, scratch: Path) -> TrainingJob:
    node = node_named(load_recipe(str(file)), "dev1")
    key = node.key({role: m.digest for role, m in inputs.items()})
    return TrainingJob("training.sft", str(file), "dev1", lake.url, key, scratch)


def committed(lake: Lake, job: TrainingJob) -> Manifest:
    return read_manifest(lake, f"data/dev1/{job.key}")


def test_a_job_on_two_nodes(cluster: RayCluster, workshop: Any, base: Manifest, tmp_path: Path) -> None:
    inputs = {"init": base, "examples": workshop.examples(8 * STEPS)}
    for name, manifest in {"base": inputs["init"], "cold_start/reviewed": inputs["examples"]}.items():
        move_ref(workshop.lake, f"smoke/{name}", manifest)
    shutil.copytree(workshop.lake.root, tmp_path / "other")
    other = Lake.open(str(tmp_path / "other"))
    params = RayParams(address=cluster.address, jobs=cluster.jobs, python=sys.executable)
    on_ray = ClusterParams(kind="ray", ranks=2, rollouts="in_process", ray=params)
    file = recipe(tmp_path, 1)
    lines: list[str] = []

    here = job(other, inputs, file, tmp_path / "here")
    launch(here, sys.executable, ClusterParams(ranks=2), lines.append)
    there = job(workshop.lake, inputs, file, tmp_path / "there")
    launch(there, sys.executable, on_ray, lines.append)
    ours, theirs = committed(other, here), committed(workshop.lake, there)
    assert theirs.digest == ours.digest
    assert theirs.counts == ours.counts
    assert any(f"step {STEPS}/{STEPS}" in line for line in lines)

    _stopped(job(workshop.lake, inputs, recipe(tmp_path, 1_000), tmp_path / "long"), on_ray)


def _stopped(long: TrainingJob, on_ray: ClusterParams) -> None:
    """Ended as a cancelled flow ends it: soon, with its state saved."""
    children: set[Child] = set()
    began, told = threading.Event(), list[str]()

    def report(line: str) -> None:
        told.append(line)
        if "step 1/" in line:
            began.set()

    def stop() -> None:
        began.wait(400)
        for child in list(children):
            end_child(child, seconds_to_end(on_ray))

    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(StageFailed):
        launch(long, sys.executable, on_ray, report, children)
    thread.join()
    text = "\n".join(told)
    assert "ended by SIGTERM; the last saved state is kept" in text, text[-3000:]
    assert ": STOPPED\n" in f"{text}\n", text[-3000:]
    assert list((long.scratch / "dev1" / long.key).glob("state-*")), "nothing was saved"
