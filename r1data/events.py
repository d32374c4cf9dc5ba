"""OpenLineage events of commits, as files in the lake (`lineage/YYYY-MM-DD/RUN-TYPE.json`), for Marquez and others."""

import datetime as dt
import uuid
from typing import Any

from openlineage.client import event_v2 as ol
from openlineage.client.facet_v2 import (
    dataset_version_dataset,
    output_statistics_output_dataset,
    schema_dataset,
)
from openlineage.client.serde import Serde

from r1data.manifest import Manifest
from r1data.storage import Lake
from schemas import TABLES

PRODUCER = "https://github.com/r1data/r1data"


def write_event(lake: Lake, manifest: Manifest) -> str:
    """Write the COMPLETE event of a commit; its run id comes from the key, so a repeated commit is the same run."""
    run_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{manifest.name}/{manifest.key}"))
    when = dt.datetime.fromtimestamp(manifest.finished, dt.UTC)
    event = ol.RunEvent(
        eventTime=when.isoformat(),
        producer=PRODUCER,
        eventType=ol.RunState.COMPLETE,
        run=ol.Run(runId=run_id),
        job=ol.Job(namespace="r1data", name=manifest.name),
        inputs=[
            ol.InputDataset(namespace=lake.url, name=p.path, facets={"version": _version(p.digest)})
            for p in manifest.parents
        ],
        outputs=[_output(lake, manifest)],
    )
    name = f"lineage/{when:%Y-%m-%d}/{run_id}-complete.json"
    lake.write(name, Serde.to_json(event).encode())
    return name


def _version(digest: str) -> dataset_version_dataset.DatasetVersionDatasetFacet:
    return dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=digest)


def _output(lake: Lake, manifest: Manifest) -> ol.OutputDataset:
    size = sum(e.bytes for e in manifest.entries)
    statistics = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
        rowCount=manifest.rows, size=size, fileCount=len(manifest.entries)
    )
    facets: dict[str, Any] = {"version": _version(manifest.digest)}
    if manifest.table:
        columns = TABLES[manifest.table.split("/")[0]].schema
        fields = [schema_dataset.SchemaDatasetFacetFields(name=f.name, type=str(f.type)) for f in columns]
        facets["schema"] = schema_dataset.SchemaDatasetFacet(fields=fields)
    return ol.OutputDataset(
        namespace=lake.url, name=manifest.path, facets=facets, outputFacets={"outputStatistics": statistics}
    )
