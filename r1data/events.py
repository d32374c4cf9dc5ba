"""OpenLineage events as files in the lake (`lineage/YYYY-MM-DD/HHMMSS.ffffff-RUN-TYPE.json`), for Marquez and others.

A run is one attempt at a node: START as it begins, then COMPLETE at its commit, FAIL with the error, or ABORT where
somebody stopped it. Names sort by time: a replay reads no event to order them. While it goes on a note of it lies in
`attempts/`: of a killed process that stays, and `ends` writes what is missing.
"""

import datetime as dt
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from openlineage.client import event_v2 as ol
from openlineage.client.facet_v2 import (
    data_quality_assertions_dataset,
    dataset_version_dataset,
    datasource_dataset,
    error_message_run,
    job_type_job,
    output_statistics_output_dataset,
    parent_run,
    schema_dataset,
    source_code_location_job,
)
from openlineage.client.serde import Serde
from openlineage.client.uuid import generate_new_uuid, generate_static_uuid

from r1data.errors import LakeError, RunStopped, StorageError, StoreUnavailable
from r1data.lease import this_process
from r1data.manifest import Manifest, Parent, find_manifest
from r1data.params import Params
from r1data.storage import Lake
from schemas import TABLES

PRODUCER = "https://github.com/r1data/r1data"
NAMESPACE = "r1data"
EVENTS = "lineage"
ATTEMPTS = "attempts"
LABEL = "lineage_run"
LONGEST = 10_000
STOPS = (RunStopped, KeyboardInterrupt)


@dataclass(frozen=True)
class Run:
    """One attempt at a node (`job` is RECIPE/NODE); `parent` is the id of the run of the recipe, `module` its code."""

    job: str
    id: str
    parent: str = ""
    step: str = ""
    module: str = ""
    commit: str = ""


class Note(Params):
    """An attempt that goes on, or whose process was killed: where it commits to, since when, and who it is."""

    run: Run
    folder: str
    started: float
    inputs: tuple[Parent, ...]
    process: dict[str, str | int]


RUN: ContextVar[Run | None] = ContextVar("run", default=None)


def new_run_id() -> str:
    """An id for a run of a recipe: UUIDv7."""
    return str(generate_new_uuid())


def run_id(job: str, key: str, started: float) -> str:
    """An attempt's id, UUIDv7: its time is the attempt's start, the rest is hashed from that time, node and key."""
    return str(generate_static_uuid(dt.datetime.fromtimestamp(started, dt.UTC), f"{job}/{key}".encode()))


def note_file(run: str) -> str:
    """The object that says that an attempt goes on."""
    return f"{ATTEMPTS}/{run}.json"


@contextmanager
def attempt(lake: Lake, run: Run, folder: str, inputs: Sequence[Parent], started: float) -> Iterator[None]:
    """START, and FAIL or ABORT if the work inside raises; the commit inside, to `folder`, writes COMPLETE."""
    note = Note(run=run, folder=folder, started=started, inputs=tuple(inputs), process=this_process())
    lake.write(note_file(run.id), note.model_dump_json().encode())
    _write(lake, run, ol.RunState.START, started, inputs)
    token = RUN.set(run)
    try:
        yield
    except BaseException as error:
        _write_end(lake, note, error)
        raise
    finally:
        RUN.reset(token)
    lake.delete(note_file(run.id))


def committed_by(lake: Lake, folder: str, run: str) -> Manifest | None:
    """What that attempt has committed; None if nothing is there, or another attempt's."""
    found = find_manifest(lake, folder)
    return found if found and found.labels.get(LABEL) == run else None


def write_complete(lake: Lake, manifest: Manifest) -> str:
    """COMPLETE of the attempt that this commit ends; a commit outside of any attempt writes its START too."""
    run, started = RUN.get(), manifest.started or manifest.finished
    commit = manifest.code.get("commit", "")
    if run is None or run.job != manifest.name:
        run = Run(manifest.name, run_id(manifest.name, manifest.key, started), step=manifest.step, commit=commit)
        _write(lake, run, ol.RunState.START, started, manifest.parents)
    run = replace(run, commit=commit)
    outputs = [_output(lake, manifest)]
    return _write(lake, run, ol.RunState.COMPLETE, manifest.finished, manifest.parents, outputs=outputs)


def write_abort(lake: Lake, note: Note, why: str) -> str:
    """START, which may have been lost too, and ABORT, now, of an attempt that ended without a word."""
    _write(lake, note.run, ol.RunState.START, note.started, note.inputs)
    told = error_message_run.ErrorMessageRunFacet(message=why, programmingLanguage="PYTHON")
    return _write(lake, note.run, ol.RunState.ABORT, time.time(), note.inputs, {"errorMessage": told})


def _write_end(lake: Lake, note: Note, error: BaseException) -> None:
    """FAIL or ABORT; a store that refuses it does not hide the error itself.

    Nothing where the commit was made and only what came after it failed: its COMPLETE is written later, by `ends`.
    """
    state = ol.RunState.ABORT if isinstance(error, STOPS) else ol.RunState.FAIL
    told = error_message_run.ErrorMessageRunFacet(
        message=f"{type(error).__name__}: {error}"[:LONGEST],
        programmingLanguage="PYTHON",
        stackTrace="".join(traceback.format_exception(error))[-LONGEST:],
    )
    try:
        if committed_by(lake, note.folder, note.run.id):
            return
        _write(lake, note.run, state, time.time(), note.inputs, {"errorMessage": told})
        lake.delete(note_file(note.run.id))
    except (LakeError, StorageError, StoreUnavailable) as e:
        error.add_note(f"nor could its lineage event be written: {e}")


def _write(
    lake: Lake,
    run: Run,
    state: ol.RunState,
    seconds: float,
    inputs: Sequence[Parent],
    facets: dict[str, Any] | None = None,
    outputs: list[ol.OutputDataset] | None = None,
) -> str:
    when = dt.datetime.fromtimestamp(seconds, dt.UTC)
    event = ol.RunEvent(
        eventTime=when.isoformat(timespec="microseconds"),
        producer=PRODUCER,
        eventType=state,
        run=ol.Run(runId=run.id, facets=_parent(run) | (facets or {})),
        job=ol.Job(namespace=NAMESPACE, name=run.job, facets=_job(run)),
        inputs=[_input(lake, p) for p in inputs],
        outputs=outputs or [],
    )
    name = f"{EVENTS}/{when:%Y-%m-%d}/{when:%H%M%S.%f}-{run.id}-{state.value.lower()}.json"
    lake.write(name, Serde.to_json(event).encode())
    return name


def _parent(run: Run) -> dict[str, Any]:
    if not run.parent:
        return {}
    job = parent_run.Job(namespace=NAMESPACE, name=run.job.partition("/")[0])
    return {"parent": parent_run.ParentRunFacet(run=parent_run.Run(runId=run.parent), job=job)}


def _job(run: Run) -> dict[str, Any]:
    """Kind of the job and where its code is; the commit is left out where there is no checkout."""
    commit = run.commit if run.commit != "unknown" else ""
    path = run.module.replace(".", "/") + ".py" if run.module else ""
    source = source_code_location_job.SourceCodeLocationJobFacet(
        type="git",
        url=f"{PRODUCER}/blob/{commit or 'main'}/{path}" if path else PRODUCER,
        repoUrl=f"{PRODUCER}.git",
        path=path or None,
        version=commit or None,
    )
    kind = job_type_job.JobTypeJobFacet(processingType="BATCH", integration="R1DATA", jobType=run.step or None)
    return {"sourceCodeLocation": source, "jobType": kind}


def _place(lake: Lake, path: str) -> tuple[str, str]:
    """Namespace and name of a dataset by OpenLineage's naming: `s3://bucket` and the key, or `file` and the path."""
    url = urlsplit(lake.uri(path))
    return ("file", url.path) if url.scheme == "file" else (f"{url.scheme}://{url.netloc}", url.path.lstrip("/"))


def _facets(lake: Lake, path: str, digest: str) -> dict[str, Any]:
    source = datasource_dataset.DatasourceDatasetFacet(name="lake", uri=lake.uri(path))
    return {"version": dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=digest), "dataSource": source}


def _input(lake: Lake, parent: Parent) -> ol.InputDataset:
    namespace, name = _place(lake, parent.path)
    return ol.InputDataset(namespace=namespace, name=name, facets=_facets(lake, parent.path, parent.digest))


def _output(lake: Lake, manifest: Manifest) -> ol.OutputDataset:
    size = sum(e.bytes for e in manifest.entries)
    statistics = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
        rowCount=manifest.rows, size=size, fileCount=len(manifest.entries)
    )
    facets = _facets(lake, manifest.path, manifest.digest)
    if manifest.table:
        columns = TABLES[manifest.table.split("/")[0]].schema
        fields = [schema_dataset.SchemaDatasetFacetFields(name=f.name, type=str(f.type)) for f in columns]
        facets["schema"] = schema_dataset.SchemaDatasetFacet(fields=fields)
    if manifest.checks:
        checks = [
            data_quality_assertions_dataset.Assertion(
                assertion=str(c.get("expectation")),
                success=bool(c.get("success")),
                column=str(c.get("column") or "") or None,
            )
            for c in manifest.checks
        ]
        facets["dataQualityAssertions"] = data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(checks)
    namespace, name = _place(lake, manifest.path)
    return ol.OutputDataset(
        namespace=namespace, name=name, facets=facets, outputFacets={"outputStatistics": statistics}
    )
