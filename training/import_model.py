"""Take a folder of safetensors into the lake as a checkpoint: the base models of the full recipes.

python -m training.import_model --recipe qwen-7b --node base --lake s3://bucket/lake
"""

from pathlib import Path

from r1data.model_folder import checked_model
from r1data.stages.training import ImportParams
from training.checkpoint import commit_files, put_file
from training.job import Job, end, run


def train(job: Job) -> None:
    """Copy every file of the folder and commit."""
    params = job.node.params
    assert isinstance(params, ImportParams), "checked when the job was opened"
    folder = Path(params.path)
    checked_model(folder, f"set [{job.node.name}] path in the recipe")
    paths = sorted(p for p in folder.iterdir() if p.is_file())
    files = [put_file(job, p) for p in paths]
    commit_files(job, files, identity=tuple(p.name for p in paths))


if __name__ == "__main__":
    end(run(train, ImportParams))
