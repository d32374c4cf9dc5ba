"""Take a folder of safetensors into the lake as a checkpoint: the base models of the full recipes.

python -m training.import_model --recipe qwen-7b --node base --lake s3://bucket/lake
"""

import sys
from pathlib import Path

from r1data.digest import digest_bytes
from r1data.errors import ModelError
from r1data.lineage import commit
from r1data.manifest import FileEntry, Manifest, checkpoint_digest
from training.job import Job, run

NEEDED = ("config.json", "tokenizer.json")


def train(job: Job) -> None:
    """Copy every file of the folder and commit."""
    folder = Path(str(job.node.params.model_dump()["path"]))
    missing = [n for n in NEEDED if not (folder / n).is_file()]
    if missing or not list(folder.glob("*.safetensors")):
        what = ", ".join([*missing, *([] if list(folder.glob("*.safetensors")) else ["*.safetensors"])])
        raise ModelError(f"{folder} is no model folder: no {what}", f"set [{job.node.name}] path in the recipe")
    files = []
    for path in sorted(p for p in folder.iterdir() if p.is_file()):
        data = path.read_bytes()
        job.lake.write(f"{job.folder}/{path.name}", data)
        files.append(FileEntry(path=f"{job.folder}/{path.name}", bytes=len(data), sha256=digest_bytes(data)))
    commit(
        job.lake,
        Manifest(
            kind="checkpoint",
            name=f"{job.recipe}/{job.node.name}",
            path=job.folder,
            key=job.key,
            step=job.node.step.name,
            version=job.node.step.version,
            digest=checkpoint_digest(tuple(files)),
            files=tuple(files),
            params=job.node.params.model_dump(mode="json"),
        ),
    )


if __name__ == "__main__":
    sys.exit(run(train))
