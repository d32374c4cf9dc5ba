"""Commit a trained model to the lake: safetensors, config, tokenizer, metrics, rollouts, probe log-probs, parents.

The digest covers weights, config and tokenizer; metrics and rollouts lie beside them and do not enter.
"""

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from transformers.utils import logging

from r1data.digest import row_id
from r1data.errors import StorageError, boundary
from r1data.lineage import commit
from r1data.manifest import FileEntry, Manifest, checkpoint_digest
from r1data.runner import parents
from schemas import TABLES
from training.core import NO_ROOM, Trainer
from training.job import Job

PROBES = 4
PROBE_LENGTH = 24


def commit_checkpoint(
    job: Job,
    trainer: Trainer,
    tokenizer: Any,
    probe_texts: list[str],
    counts: Mapping[str, int],
    tables: Mapping[str, pa.Table] | None = None,
    labels: Mapping[str, str] | None = None,
) -> None:
    """Export and commit; called on all ranks (ZeRO-3 gathers), written by rank 0. The job's scratch folder goes.

    `tables`, by file name, and TensorBoard events lie beside.
    """
    weights = trainer.gathered()
    probed = probe(trainer.engine, tokenizer, probe_texts) if probe_texts else {}
    if trainer.rank != 0:
        return
    files = _export(job, trainer.engine.module, weights, tokenizer)
    identity = tuple(Path(f.path).name for f in files)
    beside = {"metrics.parquet": metrics_table(job.node.name, trainer.metrics), **(tables or {})}
    files += [put_table(job, name, table) for name, table in beside.items()]
    if trainer.keeper is not None:
        files += trainer.keeper.files()
    commit_files(
        job,
        files,
        identity=identity,
        counts={"steps": trainer.step, **_rows_in(job), **counts},
        probe=probed,
        labels=labels,
        started=time.time() - (time.monotonic() - trainer.started),
    )
    if trainer.keeper is not None:
        trainer.keeper.committed()
    shutil.rmtree(job.scratch, ignore_errors=True)


def metrics_table(stage: str, metrics: list[dict[str, float]]) -> pa.Table:
    """METRICS, one row a step and metric."""
    rows = [
        {
            "metric_id": row_id("metric", stage, int(m["step"]), name),
            "stage": stage,
            "step": int(m["step"]),
            "metric": name,
            "value": float(value),
            "elapsed_s": m["elapsed_s"],
        }
        for m in metrics
        for name, value in m.items()
        if name not in ("step", "elapsed_s")
    ]
    return TABLES["metrics"].conform(pa.Table.from_pylist(rows, schema=TABLES["metrics"].schema))


@torch.no_grad()
def probe(model: Any, tokenizer: Any, texts: list[str]) -> dict[str, Any]:
    """Log-probs of the tokens of fixed prompts, so that a server can be checked without torch; on all ranks."""
    prompts = [tokenizer(t, add_special_tokens=False)["input_ids"][:PROBE_LENGTH] for t in texts[:PROBES]]
    found = []
    for ids in prompts:
        logits = model(input_ids=torch.tensor([ids], device=model.device)).logits[0].float()
        logprobs = torch.log_softmax(logits, -1)
        found.append([float(logprobs[i, t]) for i, t in enumerate(ids[1:])])
    return {"prompts": prompts, "logprobs": found}


def _rows_in(job: Job) -> dict[str, int]:
    return {f"rows_in_{role}": m.rows for role, m in job.inputs.items() if m.kind == "dataset"}


def _export(job: Job, module: Any, weights: dict[str, torch.Tensor], tokenizer: Any) -> list[FileEntry]:
    """The model folder, put into the lake: what a checkpoint's identity is made of."""
    folder = job.scratch / "export"
    shutil.rmtree(folder, ignore_errors=True)
    logging.disable_progress_bar()
    with boundary(StorageError, f"{folder}: the checkpoint could not be exported", NO_ROOM):
        module.save_pretrained(str(folder), state_dict=weights)
        tokenizer.save_pretrained(str(folder))
    return [put_file(job, p) for p in sorted(folder.iterdir()) if p.is_file()]


def put_file(job: Job, source: Path) -> FileEntry:
    """Store one file of a checkpoint in the lake, under its own name."""
    path = f"{job.folder}/{source.name}"
    size, sha256 = job.lake.put(source, path)
    return FileEntry(path=path, bytes=size, sha256=sha256)


def put_table(job: Job, name: str, table: pa.Table) -> FileEntry:
    """Store a table beside the checkpoint's files."""
    path = f"{job.folder}/{name}"
    size, sha256 = job.lake.write_table(path, table)
    return FileEntry(path=path, bytes=size, sha256=sha256)


def commit_files(
    job: Job,
    files: list[FileEntry],
    *,
    identity: tuple[str, ...],
    counts: dict[str, int] | None = None,
    probe: dict[str, Any] | None = None,
    labels: Mapping[str, str] | None = None,
    started: float = 0.0,
) -> None:
    """Commit files that lie in the lake as the job's checkpoint; `identity` names those that its digest covers."""
    commit(
        job.lake,
        Manifest(
            kind="checkpoint",
            name=f"{job.recipe}/{job.node.name}",
            path=job.folder,
            key=job.key,
            step=job.node.step.name,
            version=job.node.step.version,
            digest=checkpoint_digest(tuple(f for f in files if Path(f.path).name in identity)),
            files=tuple(files),
            parents=parents(job.inputs),
            params=job.node.params.model_dump(mode="json"),
            counts=counts or {},
            probe=probe or {},
            labels=dict(labels or {}),
            started=started,
        ),
    )
