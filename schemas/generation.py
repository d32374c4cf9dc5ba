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

LANGUAGES = ("en", "zh", "ja", "ko", "ru", "fr", "de", "es")
SCRIPTS = ("latin", "han", "kana", "hangul", "cyrillic", "other")
REPETITIONS = (
    *("dup_line_frac", "dup_line_char_frac", "dup_para_frac", "dup_para_char_frac"),
    *(f"top_{n}_gram" for n in (2, 3, 4)),
    *(f"duplicated_{n}_n_grams" for n in range(5, 11)),
)

# Units: words of alphabets, characters of scripts without spaces, in the prose of the chain of thought (code, LaTeX,
# URLs and tags removed). Scripts count the same units; runs and changes of language are in units too. REPETITIONS are
# Gopher's, of 0 to 1 and more, in the same prose under word definition 1 (`r1data.steps.repetition`); `repetition` is
# the share of repeated character 8-grams. answer_in_summary: the summary's prose states the answer, null without
# either. Null: could not be measured; `unmeasured` is why, empty where the language could be.
MEASURES = TableSchema(
    name="measures",
    version=2,
    key="candidate_id",
    schema=pa.schema(
        [
            text("candidate_id"),
            text("problem_id"),
            text("language"),
            text("unmeasured"),
            flag("format_ok"),
            flag("truncated"),
            number("language_consistency", null=True),
            *(integer(f"units_{name}", null=True) for name in (*LANGUAGES, "other")),
            *(integer(f"script_{name}", null=True) for name in SCRIPTS),
            integer("language_switches", null=True),
            integer("longest_foreign_run", null=True),
            integer("characters", null=True),
            integer("code_chars", null=True),
            integer("math_chars", null=True),
            integer("completion_tokens"),
            integer("paragraphs", null=True),
            integer("longest_paragraph", null=True),
            flag("code_fence_open", null=True),
            number("repetition", null=True),
            *(number(name, null=True) for name in REPETITIONS),
            integer("reflection_words", null=True),
            flag("summary_present", null=True),
            flag("answer_in_summary", null=True),
        ]
    ),
)

# One reinforcement-learning sample as it was scored: the record that a resumed run replays and a curve is drawn from.
ROLLOUTS = TableSchema(
    name="rollouts",
    version=2,
    key="rollout_id",
    schema=pa.schema(
        [
            text("rollout_id"),
            integer("step"),
            text("prompt_id"),
            text("problem_id"),
            integer("sample_index"),
            integer("seed"),
            integer("weights"),
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
