"""Several trainings, one after the other, in the processes that torchrun started: importing takes longer than they do.

The command line is that of a training main, its --node a list: a,b. Those that are committed are left out.
"""

import importlib
import sys
from argparse import Namespace

from r1data.manifest import MANIFEST
from r1data.pins import pinned
from r1data.recipe import load_recipe
from r1data.stages import node_named
from training.job import open_job, run

IN_PROCESS = ("student_rl",)  # no engine's address for these: --rollouts says where theirs come from


def main() -> int:
    """Each by its real main; its exit status if that is not 0."""
    given = list(sys.argv)
    told = dict(zip(given[1::2], given[2::2], strict=True))
    for name in told["--node"].split(","):
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
        assert node.step.module is not None, name
        own = {n: v for n, v in told.items() if name not in IN_PROCESS or not n.startswith("--engine")}
        sys.argv = [given[0], *(word for pair in {**own, "--node": name}.items() for word in pair)]
        if code := run(importlib.import_module(node.step.module).train, kind):
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
