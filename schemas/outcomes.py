"""What came of it: rows that left and why, how hard problems are, evaluation results with intervals, metrics."""

import pyarrow as pa

from schemas.columns import hashes, integer, number, text
from schemas.table import TableSchema

DROPS = TableSchema(
    name="drops",
    version=1,
    key="row_id",
    schema=pa.schema(
        [text("row_id"), text("problem_id"), text("gate"), text("reason"), text("value"), text("evidence")]
    ),
)

# What near-duplicates are found by, of each candidate that passed the gates: exact is 128 bits of its characters, hex;
# minhashes 16 bits for each permutation; share as in verdicts; evidence the start of its text.
SIGNATURES = TableSchema(
    name="signatures",
    version=1,
    key="candidate_id",
    schema=pa.schema(
        [
            text("candidate_id"),
            text("problem_id"),
            text("exact"),
            hashes("minhashes"),
            integer("words"),
            number("share", null=True),
            integer("completion_tokens"),
            text("evidence"),
        ]
    ),
)

# How often a checkpoint gets a problem right. accepted: correct and through the gates; truncated: whatever the verdict.
# pass_rate is unbiased under early stops, low and high are its 95 % Jeffreys interval; null where nothing was decided
# or the verdicts have changed since sampling. completion_tokens: mean over all asked. A pass_rate is for
# averages: of one problem under early stops it has hardly more than the first round, and may lie outside the interval.
DIFFICULTY = TableSchema(
    name="difficulty",
    version=1,
    key="difficulty_id",
    schema=pa.schema(
        [
            text("difficulty_id"),
            text("problem_id"),
            text("model"),
            text("model_digest"),
            integer("asked"),
            integer("accepted"),
            integer("correct"),
            integer("wrong"),
            integer("undecided"),
            integer("truncated"),
            number("pass_rate", null=True),
            number("low", null=True),
            number("high", null=True),
            number("completion_tokens"),
        ]
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

# One row a bin of a reward model's predictions on rows held out: what it predicted, and how often that was so.
CALIBRATION = TableSchema(
    name="calibration",
    version=1,
    key="bin_id",
    schema=pa.schema(
        [
            text("bin_id"),
            text("stage"),
            number("low"),
            number("high"),
            integer("rows"),
            number("predicted"),
            number("observed"),
        ]
    ),
)
