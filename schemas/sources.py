"""What enters the lake: problems, and the pre-training text of the demo models."""

import pyarrow as pa

from schemas.columns import text
from schemas.table import TableSchema

# kind: math (verified by rule), general (helpfulness), safety (harmlessness). split: train, eval, benchmark.
PROBLEMS = TableSchema(
    name="problems",
    version=1,
    key="problem_id",
    schema=pa.schema(
        [
            text("problem_id"),
            text("question"),
            text("answer", null=True),
            text("kind"),
            text("category"),
            text("language"),
            text("split"),
            text("source"),
            text("licence"),
            text("metadata"),
        ]
    ),
)

CORPUS = TableSchema(
    name="corpus",
    version=1,
    key="document_id",
    schema=pa.schema([text("document_id"), text("text"), text("category"), text("source")]),
)
