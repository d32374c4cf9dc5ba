"""Several fine-tunings, one after the other, on the ranks that torchrun started: LAKE INIT EXAMPLES SCRATCH PARAMS...

PARAMS are SftParams as JSON; prints a line of JSON for each: its metrics and where its checkpoint is.
"""

import json
import sys
from pathlib import Path

from r1data.manifest import read_manifest
from r1data.step import Node, Step
from r1data.storage import Lake
from r1data.training_params import SftParams
from training import sft
from training.job import Job


def main(url: str, init: str, examples: str, scratch: str, *told: str) -> None:
    """Train each."""
    lake = Lake.open(url)
    inputs = {"init": read_manifest(lake, init), "examples": read_manifest(lake, examples)}
    for text in told:
        params = SftParams.model_validate_json(text)
        node = Node("dev", "training", Step("sft", "1", "train", None, module="training.sft"), params)
        key = node.key({role: m.digest for role, m in inputs.items()})
        folder = Path(scratch) / key
        folder.mkdir(parents=True, exist_ok=True)
        job = Job("test", node, lake, inputs, key, folder)
        sft.train(job)
        print(json.dumps({"folder": job.folder}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
