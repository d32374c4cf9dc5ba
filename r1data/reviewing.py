"""What a person sees of a dataset before deciding, and what becomes of what they type.

Ids may be given by their beginnings. What names no row, a text that is not in R1's pattern, or an edit that is not
found right, is refused whole.
"""

import json
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import replace

import polars as pl
from pydantic import ValidationError

from r1data.digest import digest_bytes, printable, row_id
from r1data.errors import LakeError
from r1data.manifest import Manifest, read_rows
from r1data.review import Edit, Review, VerifiedEdit, record_review, require_printable
from r1data.rewards.format import format_ok
from r1data.step import Node
from r1data.steps.measures import measured
from r1data.steps.reviewed import params_of
from r1data.storage import Lake
from r1data.verify.edits import MEASURES, verified_edits

STRATA = ("category", "language", "source")
COLUMNS = ("example_id", *STRATA, *MEASURES)
ROWS = 24
LONGEST = 1_500
ID = 12
LAST = "\U0010ffff"


def review_sample(lake: Lake, manifest: Manifest, rows: int = ROWS) -> pl.DataFrame:
    """Some of the examples with their measures: every category, language and source in turn, always the same."""
    _examples_only(manifest)
    whole = pl.DataFrame(read_rows(lake, manifest))
    order = pl.Series([row_id("review", name) for name in whole["example_id"]], dtype=pl.String)
    ordered = whole.with_columns(order=order).sort("order")
    turn = pl.int_range(pl.len()).over(STRATA)
    chosen = (
        ordered.with_columns(turn=turn)
        .sort("turn", *STRATA, "order")
        .head(max(rows, whole.select(STRATA).n_unique()))
        .sort(*STRATA, "order")
    )
    texts = chosen.select("completion", "language").iter_rows()
    found = [measured(completion, "stop", language) for completion, language in texts]
    measures = [pl.Series(name, [row[name] for row in found]) for name in MEASURES]
    return chosen.select("example_id", *STRATA, "prompt", "completion").with_columns(measures)


def review_markdown(lake: Lake, manifest: Manifest, rows: int = ROWS) -> str:
    """The sample for a page: how many rows of each kind there are, the measures, and the texts."""
    sample = review_sample(lake, manifest, rows)
    counts = pl.DataFrame(read_rows(lake, manifest, list(STRATA))).group_by(STRATA).len("rows").sort(STRATA)
    shown = sample.with_columns(pl.col("example_id").str.slice(0, ID)).select(COLUMNS)
    read = sample.select("example_id", "prompt", "completion").iter_rows()
    texts = [f"### {name[:ID]}\n\n{_fenced(prompt + completion)}" for name, prompt, completion in read]
    return "\n\n".join(
        [
            f"**{manifest.rows} rows of {manifest.name} wait for review**; {sample.height} of them, of every kind:",
            _table(counts),
            _table(shown),
            *texts,
            "Accept them all but those whose ids you list (beginnings will do), or reject the set. Edits: the name of "
            "a JSONL file in the lake, or its URL, with an example_id and a completion a line.",
        ]
    )


def decide(
    lake: Lake,
    manifest: Manifest,
    reviewer: str,
    *,
    accepted: bool,
    note: str = "",
    rejected: Iterable[str] = (),
    edits_file: str = "",
) -> Review:
    """Write down what a person decided; `LakeError` names the id or the line that cannot be, and nothing is written."""
    _examples_only(manifest)
    ids = sorted(pl.DataFrame(read_rows(lake, manifest, ["example_id"]))["example_id"])
    gone = tuple(sorted({_whole(manifest, ids, start) for start in rejected if start.strip()}))
    edits = read_edits(lake, manifest, ids, edits_file) if edits_file.strip() else ()
    both = sorted(set(gone) & {e.example_id for e in edits})
    if both:
        raise LakeError(f"{manifest.name}: {both[0]} is both rejected and edited", "decide for one of them")
    if accepted and len(gone) == len(ids):
        raise LakeError(f"{manifest.name}: all rows are rejected, and the set is accepted", "reject the set")
    told = verified_edits(lake, manifest, edits)
    return record_review(
        lake, manifest, reviewer, accepted=accepted, note=note, rejected=gone, edits=told, edits_file=edits_file
    )


def edit_lines(review: Review) -> list[str]:
    """What was found about each edit, a line each: verdict, reason and measures."""
    return [
        ", ".join([f"edited {e.example_id}: {e.verdict}", *([_words(e.reason)] if e.reason else []), *_measured(e)])
        for e in review.edits
    ]


def _measured(edit: VerifiedEdit) -> list[str]:
    return [f"{_words(name)} {_cell(value) or 'not measured'}" for name, value in edit.measures.items()]


def _words(name: str) -> str:
    return name.replace("_", " ")


def keep_edits(lake: Lake, data: bytes) -> str:
    """Put a file of edits into the lake; its name there, which is its content's."""
    name = f"reviews/edits/{digest_bytes(data)[:16]}.jsonl"
    lake.write(name, data)
    return name


def read_edits(lake: Lake, manifest: Manifest, ids: list[str], name: str) -> tuple[Edit, ...]:
    """The edits of a JSONL file in the lake (its name there or its URL); ids of examples are made whole."""
    require_printable(f"{manifest.name}: the name of the edits of the review", name)
    name = name.strip().removeprefix(lake.uri()).lstrip("/")
    if ".." in name.split("/"):
        raise LakeError(f"{name}: outside the lake", "put the file of edits into the lake")
    found: dict[str, Edit] = {}
    for number, line in enumerate(lake.read(name).splitlines(), 1):
        if line.strip():
            edit = _edit(manifest, ids, f"{name}, line {number}", line)
            if edit.example_id in found:
                raise LakeError(f"{name}, line {number}: {edit.example_id} again", "one line an example")
            found[edit.example_id] = edit
    return tuple(found[i] for i in sorted(found))


def decided(node: Node, review: Review) -> Node:
    """A node that makes the reviewed rows, told the decision."""
    return replace(node, params=params_of(review))


def _examples_only(manifest: Manifest) -> None:
    if not str(manifest.table).startswith("sft_examples/"):
        raise LakeError(f"{manifest.name}: no set of examples", "review RECIPE/cold_start")


def _edit(manifest: Manifest, ids: list[str], where: str, line: bytes) -> Edit:
    try:
        edit = Edit.model_validate(json.loads(line))
    except (ValueError, ValidationError) as e:
        raise LakeError(
            f"{where}: no edit: {printable(e)}", "give an example_id and a completion, as one JSON object"
        ) from e
    require_printable(f"{where}: the completion", edit.completion)
    if not format_ok(edit.completion, "stop"):
        raise LakeError(f"{where}: not in R1's pattern", "write <think>...</think>summary<answer>...</answer>")
    return edit.model_copy(update={"example_id": _whole(manifest, ids, edit.example_id)})


def _whole(manifest: Manifest, ids: list[str], start: str) -> str:
    """The one id of the sorted ones that begins so."""
    start = start.strip()
    first = bisect_left(ids, start) if start else len(ids)
    number = bisect_left(ids, start + LAST) - first if start else 0
    if number != 1:
        told = f"{number} rows of {manifest.name} have an id that begins with {start!r}"
        raise LakeError(told, "copy ids from the sample; give more characters where several begin so")
    return ids[first]


def _table(frame: pl.DataFrame) -> str:
    rows = [frame.columns, ["---"] * frame.width, *([_cell(v) for v in row] for row in frame.iter_rows())]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(value: object) -> str:
    text = "" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


def _fenced(text: str) -> str:
    cut = text if len(text) <= LONGEST else f"{text[:LONGEST]} ... ({len(text):,} characters)"
    return f"~~~~text\n{cut.replace('~~~~', '~ ~ ~ ~')}\n~~~~"
