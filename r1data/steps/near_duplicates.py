"""Kept candidates that say the same as a better one: signatures shard by shard, then clusters over signatures alone.

Equal texts first, then MinHash; a cluster is what such pairs connect. It keeps its best row: the greatest share of
tests passed (none counts as all: its verdict is correct), then the fewest tokens, then the candidate_id.
"""

import polars as pl

from r1data.cleaning_params import DedupParams
from r1data.step import Step
from schemas import TABLES

EVIDENCE = 160


def signatures(
    *,
    params: DedupParams,
    candidates: pl.DataFrame,
    verdicts: pl.DataFrame,
    drops: pl.DataFrame,
    **others: pl.DataFrame,
) -> pl.DataFrame:
    """SIGNATURES of the candidates' completions that passed the gates; `others` are further tables of drops."""
    from r1data.steps.minhash import signatures as signed

    passed = candidates.join(verdicts.select("candidate_id", "share"), on="candidate_id", how="left")
    for gone in (drops, *others.values()):
        passed = passed.join(gone, left_on="candidate_id", right_on="row_id", how="anti")
    found, exact, words = signed(passed["completion"], params.bands * params.rows, params.shingle)
    minhashes = pl.Series("minhashes", found, dtype=pl.Array(pl.UInt16, params.bands * params.rows))
    return passed.select(
        "candidate_id",
        "problem_id",
        pl.Series("exact", [f"{a:016x}{b:016x}" for a, b in exact.tolist()], pl.String),
        minhashes.cast(pl.List(pl.UInt16)),
        pl.Series("words", words),
        "share",
        "completion_tokens",
        evidence=pl.col("completion").fill_null("").str.slice(0, EVIDENCE),
    )


def duplicates(*, params: DedupParams, signatures: pl.DataFrame) -> pl.DataFrame:
    """DROPS: all but the best of each cluster; value is the id of the best and the estimated similarity to it."""
    from r1data.steps.minhash import agreement, clusters

    ranked = (
        signatures.select("candidate_id", "problem_id", "exact", "words", "share", "completion_tokens")
        .with_row_index("row")
        .filter(pl.col("words") >= params.least_words)
        .with_columns(pl.col("share").fill_null(1.0))
        .sort("share", "completion_tokens", "candidate_id", descending=[True, False, False])
    )
    unique = ranked.unique("exact", keep="first", maintain_order=True)
    permutations = params.bands * params.rows
    hashes = signatures["minhashes"].explode().to_numpy().reshape(-1, permutations)
    found = hashes[unique["row"].to_numpy()]
    best = clusters(found, params.rows, params.similarity)
    at = dict(zip(unique["exact"], range(unique.height), strict=True))
    about = unique.select("candidate_id", "exact", "row").rows()
    gone = []
    for row_id, problem_id, exact in ranked.select("candidate_id", "problem_id", "exact").iter_rows():
        mine = at[exact]
        kept_id, kept_exact, row = about[best[mine]]
        if row_id != kept_id:
            similarity = agreement(found[mine], found[best[mine]]) / permutations
            reason = "exact" if exact == kept_exact else "minhash"
            value = f"{kept_id} {similarity:.3f}"
            gone.append((row_id, problem_id, "near_duplicate", reason, value, signatures["evidence"][row]))
    return pl.DataFrame(gone, schema={f.name: pl.String for f in TABLES["drops"].schema}, orient="row")


SIGNATURES = Step("signatures", "1", "map", TABLES["signatures"], signatures)
DUPLICATES = Step("near_duplicates", "1", "reduce", TABLES["drops"], duplicates)
