"""What models said and what was found about it: candidates apart from verdicts and measures, each redone alone."""

import pyarrow as pa

from schemas.columns import flag, integer, number, numbers, text
from schemas.table import TableSchema

# logprobs: of the completion's tokens under the temperature that they were drawn with; null unless asked for and given
CANDIDATES = TableSchema(
    name="candidates",
    version=2,
    key="candidate_id",
    schema=pa.schema(
        [
            text("candidate_id"),
            text("problem_id"),
            text("prompt"),
            text("completion"),
            integer("sample_index"),
            integer("seed"),
            integer("prompt_tokens"),
            integer("completion_tokens"),
            text("finish_reason"),
            text("model"),
            text("model_digest"),
            text("sampling_digest"),
            text("template_digest"),
            numbers("logprobs", null=True),
            number("latency_ms"),
        ]
    ),
    volatile=frozenset({"latency_ms"}),
)

# verdict: correct, wrong, undecided; reason is a code, empty only for a plain correct or wrong. Of programs: whether
# they parse, a linter accepts them, they ran to their end; the share of tests passed (of puzzles: the scorer's partial
# credit); CPU time of the reference solution over their own. Null where it does not apply or was not found out.
VERDICTS = TableSchema(
    name="verdicts",
    version=2,
    key="candidate_id",
    schema=pa.schema(
        [
            text("candidate_id"),
            text("problem_id"),
            text("verdict"),
            text("reason"),
            text("answer", null=True),
            text("tier"),
            flag("parses", null=True),
            flag("lints", null=True),
            flag("runs", null=True),
            number("share", null=True),
            number("speed", null=True),
            text("verifier"),
            number("milliseconds"),
        ]
    ),
    volatile=frozenset({"speed", "milliseconds"}),
)

# Shares are of language units over the chain of thought; null where there are too few units to say.
MEASURES = TableSchema(
    name="measures",
    version=1,
    key="candidate_id",
    schema=pa.schema(
        [
            text("candidate_id"),
            text("problem_id"),
            text("language"),
            flag("format_ok"),
            flag("truncated"),
            number("language_consistency", null=True),
            integer("units_en"),
            integer("units_zh"),
            integer("units_other"),
            integer("language_switches"),
            integer("characters"),
            integer("completion_tokens"),
            integer("longest_paragraph"),
            flag("code_fence_open"),
            number("repetition"),
            integer("reflection_words"),
            flag("summary_present"),
        ]
    ),
)

# One reinforcement-learning sample as it was scored: the record that a resumed run replays and a curve is drawn from.
ROLLOUTS = TableSchema(
    name="rollouts",
    version=1,
    key="rollout_id",
    schema=pa.schema(
        [
            text("rollout_id"),
            integer("step"),
            text("prompt_id"),
            text("problem_id"),
            integer("sample_index"),
            integer("seed"),
            text("completion"),
            text("finish_reason"),
            integer("completion_tokens"),
            number("reward", null=True),
            text("components"),
            text("verdict"),
            number("advantage", null=True),
        ]
    ),
)
