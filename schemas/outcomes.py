"""What came of it: rows that left and why, evaluation results with intervals, and training metrics by step."""

import pyarrow as pa

from schemas.columns import integer, number, text
from schemas.table import TableSchema

DROPS = TableSchema(
    name="drops",
    version=1,
    key="row_id",
    schema=pa.schema(
        [text("row_id"), text("problem_id"), text("gate"), text("reason"), text("value"), text("evidence")]
    ),
)

# One row a checkpoint and metric: estimate with its 95 % bootstrap interval over problems; null if unmeasurable.
EVALUATIONS = TableSchema(
    name="evaluations",
    version=1,
    key="evaluation_id",
    schema=pa.schema(
        [
            text("evaluation_id"),
            text("checkpoint"),
            text("model_digest"),
            text("metric"),
            number("value", null=True),
            number("low", null=True),
            number("high", null=True),
            integer("problems"),
            integer("samples"),
            integer("unmeasured"),
        ]
    ),
)

# A sampled candidate judged a second time by another method: correct, wrong, or undecided where that method cannot say.
AUDITS = TableSchema(
    name="audits",
    version=1,
    key="candidate_id",
    schema=pa.schema(
        [
            text("candidate_id"),
            text("problem_id"),
            text("kind"),
            text("method"),
            text("verdict"),
            text("tier"),
            text("answer", null=True),
            text("second"),
        ]
    ),
)

METRICS = TableSchema(
    name="metrics",
    version=1,
    key="metric_id",
    schema=pa.schema(
        [text("metric_id"), text("stage"), integer("step"), text("metric"), number("value"), number("elapsed_s")]
    ),
    volatile=frozenset({"elapsed_s"}),
)
