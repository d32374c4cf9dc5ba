"""How long a training on Ray has to end: what the recipe says gets to Ray and to every rank, without a cluster."""

import shlex
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.job_submission import JobStatus

from r1data import ray_job
from r1data.cluster_params import ClusterParams
from r1data.errors import StageFailed
from r1data.launch import Child, TrainingJob, launch, run_child
from r1data.ray_params import RayParams
from training import ray_main

STOP_S = 77.5


class Jobs:
    """A job server that says yes: what it was handed in."""

    def __init__(self, params: RayParams) -> None:
        self.given: list[dict[str, Any]] = []

    def list_jobs(self) -> list[Any]:
        """None before this one."""
        return []

    def submit_job(self, **told: Any) -> str:
        """Done at once."""
        self.given.append(told)
        return "job"

    async def tail_job_logs(self, job: str) -> AsyncIterator[str]:
        """One line."""
        yield "step 1/1\n"

    def get_job_status(self, job: str) -> JobStatus:
        """Ended well."""
        return JobStatus.SUCCEEDED


def handed_in(monkeypatch: pytest.MonkeyPatch, cluster: ClusterParams) -> dict[str, Any]:
    """What a training's launch would give to Ray."""
    jobs = Jobs(cluster.ray)
    monkeypatch.setattr(ray_job, "connected", lambda params: jobs)
    monkeypatch.setattr("signal.signal", lambda *_: None)

    def run_child(command: list[str], *_: Any) -> None:
        assert ray_job.main(command[command.index("r1data.ray_job") + 1 :]) == 0

    monkeypatch.setattr("r1data.launch.run_child", run_child)
    job = TrainingJob("training.sft", "smoke", "dev1", "lake", "key", Path("scratch"))
    launch(job, sys.executable, cluster, lambda _: None)
    (given,) = jobs.given
    return given


@pytest.mark.parametrize(("stop_s", "of_ray"), [(STOP_S, "83"), (10, "15")])
def test_ray_waits_longer_than_the_ranks_have(monkeypatch: pytest.MonkeyPatch, stop_s: float, of_ray: str) -> None:
    cluster = ClusterParams(kind="ray", ranks=2, rollouts="in_process", stop_s=stop_s)
    given = handed_in(monkeypatch, cluster)
    assert given["runtime_env"]["env_vars"]["RAY_JOB_STOP_WAIT_TIME_S"] == of_ray
    words = shlex.split(given["entrypoint"])
    told, ranks, seconds, module, *_ = words[words.index("training.ray_main") + 1 :]
    assert RayParams.model_validate_json(told) == cluster.ray
    assert (ranks, float(seconds), module) == ("2", stop_s, "training.sft")
    assert given["metadata"] == {"r1": "dev1-key"}


def test_every_rank_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    configured: list[dict[str, Any]] = []

    def trainer(loop: Any, *, train_loop_config: dict[str, Any], **_: Any) -> Any:
        configured.append(train_loop_config)
        return SimpleNamespace(fit=lambda: None)

    monkeypatch.setattr("ray.init", lambda **_: None)
    bell = SimpleNamespace(remote=lambda: "bell")
    monkeypatch.setattr("ray.remote", lambda **_: lambda _: bell)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr(ray_main, "DataParallelTrainer", trainer)
    command = ["training.sft", "--scratch", "scratch", "--key", "key"]
    assert ray_main.main([RayParams().model_dump_json(), "1", str(STOP_S), *command]) == 0
    assert configured == [{"command": command, "bell": "bell", "stop_s": STOP_S}]


def test_a_rank_that_is_told_to_stop_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    began, had = threading.Event(), list[float]()
    place = {"world_rank": 0, "world_size": 1, "local_rank": 0, "local_world_size": 1}
    context = SimpleNamespace(**{f"get_{name}": lambda value=value: value for name, value in place.items()})
    monkeypatch.setattr("ray.train.get_context", lambda: context)
    monkeypatch.setattr(ray_main, "_address", lambda: "127.0.0.1")
    monkeypatch.setattr(ray_main, "broadcast_from_rank_zero", lambda here: here)
    monkeypatch.setattr(ray_main, "_say", lambda line: began.set())
    monkeypatch.setattr("ray.get", lambda _: began.wait())
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "")  # put back afterwards

    def run(command: list[str], report: Any, children: set[Child], stop_s: float) -> list[str] | None:
        had.append(stop_s)
        return run_child(command, report, children, stop_s)

    def end_child(child: Child, stop_s: float) -> None:
        had.append(stop_s)
        child.kill()

    monkeypatch.setattr(ray_main, "run_child", run)
    monkeypatch.setattr(ray_main, "end_child", end_child)
    bell = SimpleNamespace(heard=SimpleNamespace(remote=lambda: "heard"))
    with pytest.raises(StageFailed, match="rank 0 on"):
        ray_main.rank({"command": ["http.server", "--bind", "127.0.0.1", "0"], "bell": bell, "stop_s": STOP_S})
    assert had == [STOP_S, STOP_S]
