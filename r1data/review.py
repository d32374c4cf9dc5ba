"""Human review of a dataset before anything is trained on it (paper B.3.2): one decision a content, kept in the lake.

A decision belongs to a digest: rows that change are reviewed again, a rerun of the same rows is not.
"""

import time

from pydantic import ValidationError

from r1data.errors import CorruptShard, LakeError, ReviewNeeded
from r1data.manifest import Manifest
from r1data.params import Params
from r1data.storage import Lake


class Review(Params):
    """Who said what about which rows, and when (seconds since 1970)."""

    dataset: str
    digest: str
    accepted: bool
    reviewer: str
    note: str = ""
    time: float


def review_file(digest: str) -> str:
    """The object that holds the decision about a content."""
    return f"reviews/{digest}.json"


def read_review(lake: Lake, manifest: Manifest) -> Review | None:
    """The decision about a dataset, if there is one."""
    name = review_file(manifest.digest)
    if not lake.exists(name):
        return None
    try:
        return Review.model_validate_json(lake.read(name))
    except ValidationError as e:
        raise CorruptShard(f"{lake.uri(name)}: not a review: {e}", "delete it and review again") from e


def record_review(lake: Lake, manifest: Manifest, reviewer: str, *, accepted: bool, note: str = "") -> Review:
    """Write a decision down; a later one about the same rows takes its place."""
    if not reviewer.strip():
        raise LakeError(f"{manifest.name}: a review needs a reviewer", "say who decides")
    review = Review(
        dataset=manifest.name,
        digest=manifest.digest,
        accepted=accepted,
        reviewer=reviewer.strip(),
        note=note,
        time=time.time(),
    )
    lake.write(review_file(manifest.digest), review.model_dump_json(indent=1).encode())
    return review


def require_review(lake: Lake, manifest: Manifest) -> None:
    """Return if the dataset was accepted; `ReviewNeeded` if nobody decided or it was rejected."""
    review = read_review(lake, manifest)
    if review is None:
        raise ReviewNeeded(
            f"{manifest.name}: {manifest.rows} rows wait for a person's review",
            f"look at them with `r1 show {manifest.name} --rows 20`, decide with "
            f"`r1 review {manifest.name} --by NAME --accept` (or --reject), then run again",
        )
    if not review.accepted:
        raise ReviewNeeded(
            f"{manifest.name}: rejected by {review.reviewer}: {review.note or 'no note'}",
            "change the recipe so that other rows come out, or review again",
        )
