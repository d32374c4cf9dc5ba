"""Start a training main as a process of its own and wait: one rank directly, several through torchrun on this machine,
or any number on a Ray cluster, where the process is the one that hands the job in (`r1data.ray_job`).

The child gets its own process group and dies with the thread that waits for it, so that a killed run leaves nothing.
Asked to end it has `stop_s`: a rank that waits for a peer hears no signal, and torchrun alone would give it 30 seconds.
"""

import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from r1data.child import tied
from r1data.cluster_params import ClusterParams
from r1data.errors import StageFailed
from r1data.events import Run
from r1data.recipe import SHIPPED
from r1data.telemetry import SWITCHES

Child = subprocess.Popen[str]
TAIL = 15
STOP_S = ClusterParams().stop_s
RAY_S = 30.0
ENVIRONMENT = {
    "PYTHONUNBUFFERED": "1",
    "OMP_NUM_THREADS": "1",
    "TORCHDYNAMO_DISABLE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TQDM_DISABLE": "1",
}


@dataclass(frozen=True)
class TrainingJob:
    """What a training main is told on its command line."""

    module: str
    recipe: str
    node: str
    lake: str
    key: str
    scratch: Path
    engine_urls: tuple[str, ...] = ()
    engine_models: tuple[str, ...] = ()
    sync_bucket_mb: int = 256
    weights_over: str = "auto"
    rollouts: str = "server"
    run: Run | None = None

    def arguments(self) -> list[str]:
        """The module and its command line."""
        told = [self.module, "--recipe", self.recipe, "--node", self.node, "--lake", self.lake]
        told += ["--key", self.key, "--scratch", str(self.scratch)]
        told += ["--sync-bucket-mb", str(self.sync_bucket_mb), "--weights-over", self.weights_over]
        for url, model in zip(self.engine_urls, self.engine_models, strict=True):
            told += ["--engine-url", url, "--engine-model", model]
        if self.rollouts == "hf":
            told += ["--rollouts", "hf"]
        if self.run:
            told += ["--run-id", self.run.id, "--parent-run-id", self.run.parent]
        return told


def launch(
    job: TrainingJob,
    python: str,
    cluster: ClusterParams,
    report: Callable[[str], None],
    children: set[Child] | None = None,
) -> None:
    """Run a training main to its end, its lines passed on; `StageFailed` with its last lines if it fails.

    While it runs it is in `children`, by which others can end it.
    """
    command = _on_ray(job, cluster) if cluster.kind == "ray" else _here(job, python, cluster.ranks)
    tail = run_child(command, report, children, seconds_to_end(cluster))
    if tail is not None:
        raise StageFailed(
            f"{job.node}: {job.module} failed. Its last lines:\n" + "\n".join(f"    {line}" for line in tail),
            f"mend the cause and run again: it resumes from its last saved state in {job.scratch}",
        )


def seconds_to_end(cluster: ClusterParams) -> float:
    """How long a training's process has to end; the one that hands it to Ray waits until Ray has ended the ranks."""
    return cluster.stop_s + (RAY_S if cluster.kind == "ray" else 0.0)


def _here(job: TrainingJob, python: str, ranks: int) -> list[str]:
    # the bare dashes keep torchrun from taking our --node for one of its own
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}", "-m", "--"]
    command = [python, *(torchrun if ranks > 1 else ["-m"]), *job.arguments()]
    # torchrun has processes of its own to end
    return tied(command, signal.SIGTERM if ranks > 1 else signal.SIGKILL)


def _on_ray(job: TrainingJob, cluster: ClusterParams) -> list[str]:
    """The process that hands the job in, streams it, and stops it when it is asked to end itself."""
    given = replace(job, recipe=on_nodes(job.recipe, cluster.ray.working_dir), lake=absolute(job.lake))
    told = [cluster.ray.model_dump_json(), str(cluster.ranks), str(cluster.stop_s), f"{job.node}-{job.key}"]
    return tied([sys.executable, "-m", "r1data.ray_job", *told, *given.arguments()], signal.SIGTERM)


def on_nodes(recipe: str, working_dir: str) -> str:
    """How nodes of a cluster find a recipe's file: a shipped one by its name, one in what is sent to them from there.

    Any other has to be on a file system that they share.
    """
    path = Path(recipe).resolve()
    if path.parent == SHIPPED:
        return path.stem
    sent = Path(working_dir).resolve() if working_dir else None
    return str(path.relative_to(sent)) if sent and path.is_relative_to(sent) else str(path)


def absolute(lake: str) -> str:
    """A lake's URL for processes in other directories."""
    return lake if "://" in lake else str(Path(lake).absolute())


def run_child(
    command: Sequence[str],
    report: Callable[[str], None],
    children: set[Child] | None = None,
    stop_s: float = STOP_S,
) -> list[str] | None:
    """Run a command, passing its lines on; None if it ended well, else its last lines."""
    children = set() if children is None else children
    tail: deque[str] = deque(maxlen=TAIL)
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
        env={**SWITCHES, **os.environ, **ENVIRONMENT},
    ) as child:
        children.add(child)
        try:
            assert child.stdout is not None, "stdout was asked for"
            for line in child.stdout:
                tail.append(line.rstrip())
                report(line.rstrip())
            code = child.wait()
        except BaseException:
            end_child(child, stop_s)
            raise
        finally:
            children.discard(child)
    return None if code == 0 else [*tail, f"exit code {code}"]


def end_child(child: Child, stop_s: float = STOP_S) -> None:
    """Ask a child and all of its group to end, without waiting: a training main saves its state first.

    What has not ended after `stop_s` seconds is killed; its last saved state stays.
    """
    _signal_group(child, signal.SIGTERM)
    killer = threading.Timer(stop_s, _signal_group, (child, signal.SIGKILL))
    killer.daemon = True
    killer.start()


def _signal_group(child: Child, number: signal.Signals) -> None:
    if child.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number)
