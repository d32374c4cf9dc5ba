"""What models are trained on: supervised examples, preference pairs (helpful) and labels (safe) for reward models."""

import pyarrow as pa

from schemas.columns import flag, integer, text
from schemas.table import TableSchema

# parent_id is the candidate that the example was made from; empty where a rule or a person wrote it.
SFT_EXAMPLES = TableSchema(
    name="sft_examples",
    version=1,
    key="example_id",
    schema=pa.schema(
        [
            text("example_id"),
            text("parent_id"),
            text("problem_id"),
            text("prompt"),
            text("completion"),
            text("category"),
            text("language"),
            flag("chain_of_thought"),
            text("source"),
            text("licence"),
        ]
    ),
)

PREFERENCES = TableSchema(
    name="preferences",
    version=1,
    key="pair_id",
    schema=pa.schema(
        [
            text("pair_id"),
            text("problem_id"),
            text("prompt"),
            text("chosen_id"),
            text("rejected_id"),
            text("chosen"),
            text("rejected"),
            integer("margin"),
            text("judge"),
        ]
    ),
)

SAFETY_LABELS = TableSchema(
    name="safety_labels",
    version=1,
    key="candidate_id",
    schema=pa.schema(
        [
            text("candidate_id"),
            text("problem_id"),
            text("prompt"),
            text("completion"),
            flag("safe"),
            text("reason"),
            text("judge"),
        ]
    ),
)
