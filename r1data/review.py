"""Human review of a dataset before anything is trained on it (paper B.3.2): one decision a content, kept in the lake.

A decision belongs to a digest: rows that change are reviewed again, a rerun of the same rows is not. Decisions that
another one took the place of stay in its record.
"""

import time

from pydantic import ValidationError

from r1data.digest import printable
from r1data.errors import CorruptShard, LakeError, ReviewNeeded
from r1data.manifest import Manifest
from r1data.params import Params
from r1data.storage import Lake

UNVERIFIED = "unverified"


class Edit(Params):
    """A completion that a reviewer wrote in place of an example's own."""

    example_id: str
    completion: str


class VerifiedEdit(Edit):
    """And what was found about it: `correct`, or `unverified` where no rule can tell; its measures by name."""

    verdict: str = UNVERIFIED
    reason: str = ""
    tier: str = ""
    measures: dict[str, float | None] = {}


class Review(Params):
    """Who said what about which rows, and when (seconds since 1970); nobody, where the time for it ran out."""

    dataset: str
    digest: str
    accepted: bool
    reviewer: str
    note: str = ""
    time: float
    timed_out: bool = False
    rejected: tuple[str, ...] = ()
    edits: tuple[VerifiedEdit, ...] = ()
    edits_file: str = ""
    earlier: tuple["Review", ...] = ()

    @property
    def decision(self) -> str:
        """In a word or two."""
        return "timed out" if self.timed_out else "accepted" if self.accepted else "rejected"


def review_file(digest: str) -> str:
    """The object that holds the decision about a content."""
    return f"reviews/{digest}.json"


def read_review(lake: Lake, manifest: Manifest) -> Review | None:
    """The decision about a dataset, if there is one."""
    name = review_file(manifest.digest)
    if (data := lake.get(name)) is None:
        return None
    try:
        return Review.model_validate_json(data)
    except ValidationError as e:
        raise CorruptShard(f"{lake.uri(name)}: not a review: {e}", "delete it and review again") from e


def record_review(
    lake: Lake,
    manifest: Manifest,
    reviewer: str,
    *,
    accepted: bool,
    note: str = "",
    rejected: tuple[str, ...] = (),
    edits: tuple[VerifiedEdit, ...] = (),
    edits_file: str = "",
) -> Review:
    """Write a decision down; a later one about the same rows takes its place.

    `rejected` and `edits` name examples by their whole ids; `r1data.reviewing.decide` looks at what a person typed.
    """
    if not reviewer.strip():
        raise LakeError(f"{manifest.name}: a review needs a reviewer", "say who decides")
    for what, text in (("reviewer", reviewer), ("note", note), ("name of the edits", edits_file)):
        require_printable(f"{manifest.name}: the {what} of the review", text)
    told = {"accepted": accepted, "reviewer": reviewer.strip(), "note": note, "rejected": rejected}
    return _written(lake, manifest, {**told, "edits": edits, "edits_file": edits_file})


def require_printable(what: str, text: str) -> None:
    """`LakeError` about a text that no file can hold."""
    if (shown := printable(text)) != text:
        at = next(i for i, c in enumerate(text) if "\ud800" <= c <= "\udfff")
        raise LakeError(
            f"{what} has a lone surrogate at character {at + 1}: {shown[max(0, at - 20) : at + 20]!r}",
            "half of a character's UTF-16 pair is no text: type that character again, or leave it out",
        )


def record_timeout(lake: Lake, manifest: Manifest, seconds: float) -> Review:
    """Write down that nobody decided in time."""
    note = f"nobody decided within {seconds / 3600:.4g} hours"
    return _written(lake, manifest, {"accepted": False, "reviewer": "nobody", "note": note, "timed_out": True})


def undecided(review: Review | None) -> bool:
    """Whether a person is still to be asked."""
    return review is None or review.timed_out


def require_review(lake: Lake, manifest: Manifest) -> Review:
    """The decision, if the dataset was accepted; `ReviewNeeded` if nobody decided or it was rejected."""
    review = read_review(lake, manifest)
    if review is None or review.timed_out:
        late = f" ({review.note})" if review else ""
        raise ReviewNeeded(
            f"{manifest.name}: {manifest.rows} rows wait for a person's review{late}",
            f"look at them with `r1 review {manifest.name} --by NAME`, decide with "
            f"`r1 review {manifest.name} --by NAME --accept` (or --reject), then run again",
        )
    if not review.accepted:
        raise ReviewNeeded(
            f"{manifest.name}: rejected by {review.reviewer}: {review.note or 'no note'}",
            "change the recipe so that other rows come out, or review again",
        )
    return review


def _written(lake: Lake, manifest: Manifest, told: dict[str, object]) -> Review:
    old = read_review(lake, manifest)
    earlier = (old.model_copy(update={"earlier": ()}), *old.earlier) if old else ()
    about = {"dataset": manifest.name, "digest": manifest.digest, "time": time.time(), "earlier": earlier}
    review = Review.model_validate({**about, **told})
    lake.write(review_file(manifest.digest), review.model_dump_json(indent=1).encode())
    return review
