"""Every table of the lake by name. Tests compare each with its committed snapshot."""

from schemas.generation import CANDIDATES, MEASURES, ROLLOUTS, VERDICTS
from schemas.outcomes import AUDITS, CALIBRATION, DIFFICULTY, DROPS, EVALUATIONS, METRICS, SIGNATURES
from schemas.sources import CORPUS, PROBLEMS
from schemas.table import TableSchema
from schemas.training_sets import MIXTURES, PREFERENCES, RL_PROMPTS, SAFETY_LABELS, SFT_EXAMPLES

TABLES: dict[str, TableSchema] = {
    t.name: t
    for t in (
        PROBLEMS,
        CORPUS,
        CANDIDATES,
        VERDICTS,
        MEASURES,
        ROLLOUTS,
        DROPS,
        SIGNATURES,
        AUDITS,
        DIFFICULTY,
        EVALUATIONS,
        METRICS,
        CALIBRATION,
        SFT_EXAMPLES,
        MIXTURES,
        RL_PROMPTS,
        PREFERENCES,
        SAFETY_LABELS,
    )
}
