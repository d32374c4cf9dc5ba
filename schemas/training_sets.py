"""What models are trained on: supervised examples, prompts, preference pairs (helpful) and labels (safe)."""

import pyarrow as pa

from schemas.columns import flag, integer, number, text
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

# A verified problem that reinforcement learning asks, and what sampling an earlier checkpoint said about it: counts are
# 0 where it was not sampled, pass_rate is null where it is not known.
RL_PROMPTS = TableSchema(
    name="rl_prompts",
    version=1,
    key="problem_id",
    schema=pa.schema(
        [text("problem_id"), integer("asked"), integer("decided"), integer("correct"), number("pass_rate", null=True)]
    ),
)

# margin: points between the two, over the votes that could be read; characters are of what is shown to the judge.
PREFERENCES = TableSchema(
    name="preferences",
    version=2,
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
            number("margin"),
            integer("votes"),
            integer("unread_votes"),
            integer("chosen_characters"),
            integer("rejected_characters"),
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

# What a mixture was given and what it took, by part (reasoning, general) and category; sizes are of the completions,
# tokens null where no tokenizer was named.
MIXTURES = TableSchema(
    name="mixtures",
    version=1,
    key="mixture_id",
    schema=pa.schema(
        [
            text("mixture_id"),
            text("part"),
            text("category"),
            integer("rows_given"),
            integer("rows_taken"),
            integer("characters_given"),
            integer("characters_taken"),
            integer("tokens_given", null=True),
            integer("tokens_taken", null=True),
        ]
    ),
)
