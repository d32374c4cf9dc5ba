"""Take a folder of safetensors into the lake as a checkpoint: the base models of the full recipes.

python -m training.import_model --recipe qwen-7b --node base --lake s3://bucket/lake
"""

import sys
from pathlib import Path

from r1data.errors import ModelError
from training.checkpoint import commit_files, put_file
from training.job import Job, run

NEEDED = ("config.json", "tokenizer.json")


def train(job: Job) -> None:
    """Copy every file of the folder and commit."""
    folder = Path(str(job.node.params.model_dump()["path"]))
    missing = [n for n in NEEDED if not (folder / n).is_file()]
    if missing or not list(folder.glob("*.safetensors")):
        what = ", ".join([*missing, *([] if list(folder.glob("*.safetensors")) else ["*.safetensors"])])
        raise ModelError(f"{folder} is no model folder: no {what}", f"set [{job.node.name}] path in the recipe")
    paths = sorted(p for p in folder.iterdir() if p.is_file())
    files = [put_file(job, p.name, p.read_bytes()) for p in paths]
    commit_files(job, files, identity=tuple(p.name for p in paths))


if __name__ == "__main__":
    sys.exit(run(train))
