"""Several trainings, one after the other, in the processes that torchrun started: importing takes longer than they do.

The command line is that of a training main, its --node a list with who makes rollouts: a:server,b:hf,c:in_process,d:. A
`LocalEngine` in rank 0, which is beside the training for all that this can tell, makes those of e:beside. Nodes that
are committed are left out.
"""

import importlib
import sys
from argparse import Namespace
from collections.abc import Callable
from typing import Any
from unittest import mock

from r1data.manifest import MANIFEST
from r1data.pins import pinned
from r1data.recipe import load_recipe
from r1data.stages import node_named
from tests.training.local_engine import LocalEngine
from training.job import Job, end, open_job, run


def main() -> int:
    """Each by its real main; its exit status if that is not 0."""
    given = list(sys.argv)
    told = dict(zip(given[1::2], given[2::2], strict=True))
    for name, engine in (word.split(":") for word in told["--node"].split(",")):
        node = node_named(pinned(load_recipe(told["--recipe"])), name)
        kind, place = type(node.params), {n: told[f"--{n}"] for n in ("recipe", "lake", "scratch")}
        job = open_job(
            Namespace(
                **place, node=name, key=None, engine_url=None, rollouts="", sync_bucket_mb=1, weights_over="auto"
            ),
            kind,
        )
        if job.lake.exists(f"{job.folder}/{MANIFEST}"):
            continue
        own = {n: v for n, v in told.items() if engine in ("server", "beside") or not n.startswith("--engine")}
        own |= {"--node": name} | ({"--rollouts": "hf"} if engine == "hf" else {})
        sys.argv = [given[0], *(word for pair in own.items() for word in pair)]
        assert node.step.module is not None, name
        if code := run(_train(importlib.import_module(node.step.module), engine), kind):
            return code
    return 0


def _train(module: Any, engine: str) -> Callable[[Job], None]:
    if engine != "beside":
        train: Callable[[Job], None] = module.train
        return train

    def beside(job: Job) -> None:
        with mock.patch.object(module, "_engine", lambda job, params, folder, *_: LocalEngine(folder)):
            module.train(job)

    return beside


if __name__ == "__main__":
    end(main())
