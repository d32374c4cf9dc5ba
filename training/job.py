"""What every training main shares: its command line, its inputs from the lake, and how it ends.

    python -m training.grpo --recipe demo --node zero --lake ./lake --engine-url http://127.0.0.1:8000

Exit status 0: the checkpoint is committed; 1: an error, printed with its remedy; 143: ended by SIGTERM, state saved.
"""

import argparse
import atexit
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from r1data.child import end_with_starter
from r1data.endpoint import Endpoint
from r1data.errors import R1Error, RecipeError, StageFailed
from r1data.events import RUN, Run
from r1data.manifest import Manifest
from r1data.model_folder import checked_model
from r1data.params import Params
from r1data.pins import pinned
from r1data.recipe import JudgeParams, load_recipe
from r1data.refs import resolve
from r1data.stages import node_named
from r1data.step import Node
from r1data.storage import Lake
from training.alone import hold

TORCHRUN = "TORCHELASTIC_RUN_ID"


@dataclass(frozen=True)
class Job:
    """One training node with its inputs resolved."""

    recipe: str
    node: Node
    lake: Lake
    inputs: dict[str, Manifest]
    key: str
    scratch: Path
    endpoints: tuple[Endpoint, ...] = ()
    sync_bucket_mb: int = 256
    rollouts: str = "in_process"
    weights_over: str = "auto"
    judge: JudgeParams | None = None

    @property
    def folder(self) -> str:
        """Where the checkpoint goes in the lake."""
        return self.node.folder(self.key)

    def model_folder(self, role: str) -> Path:
        """The files of an input checkpoint as a local folder; `ModelError` names the folder if it is no model."""
        manifest = self.inputs[role]
        files = [f.path for f in manifest.files]
        return checked_model(self.lake.local_copy(files, self.scratch / "inputs" / manifest.digest[:16]))


def end(status: int) -> NoReturn:
    """End this process as `sys.exit` does, less the interpreter's own end.

    Gloo's threads may still hold tensors of the last collective: let go of after Python's end they abort the process
    (SIGABRT, https://github.com/pytorch/pytorch/pull/179291), most likely on a rank that has nothing more to do.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # nobody reads it any more, or it is closed
            stream.flush()
    os._exit(status)


class Stopped(BaseException):
    """SIGTERM came."""


def run(train: Callable[[Job], None], kind: type[Params]) -> int:
    """Parse the command line, train, and turn errors into an exit status."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, _stop)
    if TORCHRUN in os.environ:  # which gives each rank a session of its own: killed, it would leave them
        end_with_starter()
    try:
        job = open_job(arguments, kind)
        hold(job.scratch, int(os.environ.get("RANK", 0)))
        if arguments.run_id:
            name, step = f"{job.recipe}/{job.node.name}", job.node.step
            RUN.set(Run(name, arguments.run_id, arguments.parent_run_id, step.name, step.module))
        train(job)
    except R1Error as e:
        if arguments.debug:
            raise
        print(f"error: {e}", file=sys.stderr, flush=True)
        return 1
    except Stopped:
        print("ended by SIGTERM; the last saved state is kept", flush=True)
        return 143
    return 0


def open_job(arguments: argparse.Namespace, kind: type[Params]) -> Job:
    """The job of a command line: inputs are the recipe's refs."""
    recipe = pinned(load_recipe(arguments.recipe))
    node = node_named(recipe, arguments.node)
    if node.kept:
        raise RecipeError(f"{node.name}: kept by reference to {node.kept!r}", "take it out of [keep] to train it")
    if not isinstance(node.params, kind):
        other = f"python -m {node.step.module}" if node.step.module else "`r1 run`"
        raise RecipeError(f"{node.name}: a node of step {node.step.name}, not one of this program", f"use {other}")
    lake = Lake.open(arguments.lake)
    inputs = {role: resolve(lake, f"{recipe.name}/{name}") for role, name in node.inputs.items()}
    key = node.key({role: m.digest for role, m in inputs.items()})
    if arguments.key and arguments.key != key:
        raise StageFailed(
            f"{node.name}: asked for key {arguments.key}, but its inputs and params give {key}",
            "an input's ref moved in between: run the plan again",
        )
    scratch = Path(arguments.scratch) / node.name / key
    scratch.mkdir(parents=True, exist_ok=True)
    where = (_endpoints(arguments), arguments.sync_bucket_mb, arguments.rollouts, arguments.weights_over)
    return Job(recipe.name, node, lake, inputs, key, scratch, *where, judge=recipe.judge)


def _endpoints(arguments: argparse.Namespace) -> tuple[Endpoint, ...]:
    """The servers of the command line, each with its model's name."""
    urls = arguments.engine_url or ()
    if not urls:
        return ()
    models = arguments.engine_model or ["policy"]
    models = models * len(urls) if len(models) == 1 else models
    if len(models) != len(urls):
        remedy = "give --engine-model once, or once for each --engine-url"
        raise RecipeError(f"{len(urls)} servers, but {len(models)} names of models", remedy)
    return tuple(Endpoint(url, model) for url, model in zip(urls, models, strict=True))


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train one node of a recipe and commit its checkpoint.")
    parser.add_argument("--recipe", required=True, help="a shipped recipe's name or a .toml file")
    parser.add_argument("--node", required=True, help="the node to train, e.g. zero")
    parser.add_argument("--lake", required=True, help="root URL of the lake")
    parser.add_argument("--key", help="the cache key that the caller expects")
    parser.add_argument("--scratch", default=".scratch", help="local folder for saved states")
    engine = "vLLM server for rollouts, once for each; without one they are this process's"
    parser.add_argument("--engine-url", action="append", help=engine)
    told = "the model name that they serve (policy), or each one's"
    parser.add_argument("--engine-model", action="append", help=told)
    parser.add_argument("--sync-bucket-mb", type=int, default=256, help="weights on their way to engines at a time")
    over = "how weights reach the servers; auto: NCCL from a GPU to other machines, else files"
    parser.add_argument("--weights-over", choices=["auto", "files", "nccl", "gloo"], default="auto", help=over)
    how = "without --engine-url: by vLLM in this process, or by transformers"
    parser.add_argument("--rollouts", choices=["in_process", "hf"], default="in_process", help=how)
    parser.add_argument("--run-id", help="the OpenLineage run that this process works for")
    parser.add_argument("--parent-run-id", default="", help="the OpenLineage run of the recipe")
    parser.add_argument("--debug", action="store_true", help="errors with their traceback")
    return parser.parse_args()
