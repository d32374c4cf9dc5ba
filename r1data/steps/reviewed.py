"""The cold-start set as a person left it: rejected rows gone with a reason, edited ones with the original as parent."""

import polars as pl

from r1data.digest import row_id
from r1data.params import Params
from r1data.review import UNVERIFIED, Review, VerifiedEdit
from r1data.step import Step
from schemas import TABLES

EVIDENCE = 160


class ReviewedParams(Params):
    """The decision that was taken, by whom; before there is one, nothing."""

    decision: str = ""
    reviewer: str = ""
    note: str = ""
    earlier: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()
    edits: tuple[VerifiedEdit, ...] = ()


def params_of(review: Review) -> ReviewedParams:
    """What the record of a review says, without the times; `earlier`: when nobody came, and who rejected the set."""
    earlier = tuple(f"{r.decision}: {r.reviewer}: {r.note}" for r in review.earlier if not r.accepted)
    told = review.model_dump(include={"reviewer", "note", "rejected", "edits"})
    return ReviewedParams(decision=review.decision, earlier=earlier, **told)


def reviewed(*, params: ReviewedParams, examples: pl.DataFrame) -> pl.DataFrame:
    """SFT_EXAMPLES without those that were rejected, and with the completions that were edited.

    `source` says who edited a row, and where no rule could verify the edit.
    """
    edits = {e.example_id: e for e in params.edits}
    kept = examples.filter(~pl.col("example_id").is_in(params.rejected))
    changed = kept.filter(pl.col("example_id").is_in(list(edits)))
    rows = [
        {
            **row,
            "example_id": row_id("edited", row["example_id"], edits[row["example_id"]].completion),
            "parent_id": row["example_id"],
            "completion": edits[row["example_id"]].completion,
            "source": f"{row['source']}, edited by {params.reviewer}{_unverified(edits[row['example_id']])}",
        }
        for row in changed.iter_rows(named=True)
    ]
    same = kept.filter(~pl.col("example_id").is_in(list(edits)))
    return pl.concat([same, pl.DataFrame(rows, schema=examples.schema)])


def _unverified(edit: VerifiedEdit) -> str:
    return ", unverified" if edit.verdict == UNVERIFIED else ""


def review_drops(*, params: ReviewedParams, examples: pl.DataFrame) -> pl.DataFrame:
    """DROPS of the examples that were rejected, and of the originals of those edited; `value` is the reviewer."""
    edited = [e.example_id for e in params.edits]
    gone = examples.filter(pl.col("example_id").is_in([*params.rejected, *edited]))
    reason = pl.when(pl.col("example_id").is_in(edited)).then(pl.lit("edited")).otherwise(pl.lit("rejected"))
    return gone.select(
        row_id=pl.col("example_id"),
        problem_id=pl.col("problem_id"),
        gate=pl.lit("review"),
        reason=reason,
        value=pl.lit(params.reviewer),
        evidence=pl.col("completion").str.slice(0, EVIDENCE),
    )


REVIEWED = Step("reviewed_examples", "1", "map", TABLES["sft_examples"], reviewed)
REVIEW_DROPS = Step("review_drops", "1", "map", TABLES["drops"], review_drops)
