"""What gates let through: rows in, rows that left by gate and reason, rows out, and examples of both.

Of any dataset of DROPS: gates of candidates, prompts too easy or too hard, pairs too close.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import polars as pl

from r1data.errors import LakeError
from r1data.manifest import Manifest, read_manifest, read_rows
from r1data.refs import Current
from r1data.storage import Lake

COLUMNS = ("", "rows", "share")
CLEANED = ("contaminated", "duplicates")
EXAMPLES = 4
DROPPED = 10
LONGEST = 1_500
# Steps that choose what they look at: rows in are those that left and those beside them, in the ref named, that stayed
BESIDE = {"rl_prompt_drops": "prompts"} | dict.fromkeys(
    ("pair_drops", "problem_drops", "import_drops", "human_drops", "thought_drops"), ""
)
# They look at the problems to train on alone
TRAINED_ON = frozenset({"contaminated"})
# They look at all of their inputs together, or at what an input left of another
SUMMED = frozenset({"quota_drops", "mixture_drops"})
AFTER = {"contaminated_candidates": "drops", "refined_repeats": "drops"}
# What stays of them is what cleaning left: rows before it are those of the input named
BEFORE = {"decontaminated": "problems", "decontaminated_examples": "examples", "with_written_tests": "problems"}
# What they drop are no rows of any table (inputs of tests): shares are of what was dropped
PARTS = frozenset({"written_test_drops"})
# Another row is there in the place of one that left so
REPLACED = frozenset({("review", "edited")})


@dataclass(frozen=True)
class Funnel:
    """Rows in (None: not known), (gate, reason, rows) of those that left, most first, and rows out."""

    rows_in: int | None
    left: tuple[tuple[str, str, int], ...]

    @property
    def dropped(self) -> int:
        """Rows that left."""
        return sum(n for _, _, n in self.left)

    @property
    def rows_out(self) -> int | None:
        """Rows that no gate stopped, with those that took another's place."""
        gone = sum(n for gate, reason, n in self.left if (gate, reason) not in REPLACED)
        return None if self.rows_in is None else self.rows_in - gone

    @property
    def cells(self) -> list[tuple[str, str, str]]:
        """The table: rows in, every reason, kept; shares of the first line."""
        first, last = ("dropped", self.dropped) if self.rows_in is None else ("rows in", self.rows_in), self.rows_out
        whole = max(1, first[1])
        lines = [first, *((f"- {g}: {r.replace('_', ' ')}", n) for g, r, n in self.left)]
        lines += [("kept", last)] if last is not None else []
        return [(told, f"{n:,}", f"{100 * n / whole:.1f} %") for told, n in lines]


@dataclass(frozen=True)
class Dropped:
    """A row that left: why, and how its text begins."""

    gate: str
    reason: str
    value: str
    evidence: str
    row_id: str


@dataclass(frozen=True)
class Passage:
    """A funnel with rows that left, by gate and reason, and (example_id, text) of some that were kept."""

    ref: str
    funnel: Funnel
    dropped: Mapping[tuple[str, str], list[Dropped]]
    kept: list[tuple[str, str]]

    @property
    def name(self) -> str:
        """What it is the funnel of: `cold_start` of `demo/cold_start/drops`."""
        return self.ref.partition("/")[2].removesuffix("/drops")


def drop_refs(lake: Lake, recipe: str, refs: Current | None = None) -> list[str]:
    """The recipe's refs to DROPS, without those that continue the funnel of another."""
    refs = refs or Current(lake)
    found = [ref for ref in refs.of(recipe) if (refs[ref].table or "").startswith("drops/")]
    later = {ref for first in found for ref in _chain(refs, first)[1:]}
    return [ref for ref in found if ref not in later]


def _chain(refs: Current, ref: str) -> list[str]:
    """The refs to DROPS that make one funnel: gates, then what their examples were cleaned of besides."""
    prefix, _, last = ref.rpartition("/")
    above, _, last_of = prefix.rpartition("/")
    # refinements have no examples of their own: those of zero, or the set, are made of them
    over, start = (above, "refined_") if last_of == "refined" else (prefix, "")
    results = (f"{over}/reasoning", f"{over}/zero", over) if last == "drops" else ()
    made = next((name for name in results if name in refs), None)
    roles = {p.role for p in refs[made].parents} if made else set()
    return [ref, *(f"{prefix}/{role}" for role in CLEANED if f"{start}{role}" in roles)]


def drops_of(lake: Lake, ref: str) -> list[str]:
    """The refs to DROPS that a ref means: itself, those right below it, or all of a recipe."""
    known = drop_refs(lake, ref.partition("/")[0])
    found = [name for name in known if ref in (name, name.rpartition("/")[0], name.partition("/")[0])]
    if not found:
        raise LakeError(
            f"{ref}: no dataset of dropped rows here", "`r1 status` lists the refs, such as demo/sft_mix/drops"
        )
    return found


def funnel(lake: Lake, ref: str, refs: Current | None = None) -> Funnel:
    """The funnel of a ref to DROPS, and of the cleaning that follows it."""
    refs = refs or Current(lake)
    tables = [refs[name] for name in _chain(refs, ref)]
    left = pl.concat([pl.DataFrame(read_rows(lake, t, ["gate", "reason"])).select("gate", "reason") for t in tables])
    left = left.group_by("gate", "reason").len("rows").sort("rows", "gate", "reason", descending=[True, False, False])
    return Funnel(_rows_in(refs, ref, tables[0]), tuple(left.iter_rows()))


def passages(refs: Current, recipe: str) -> list[Passage]:
    """Every funnel of a recipe."""
    lake = refs.lake
    return [
        Passage(ref, funnel(lake, ref, refs), dropped(lake, ref, refs=refs), kept(refs, ref))
        for ref in drop_refs(lake, recipe, refs)
    ]


def funnel_table(found: Iterable[Passage]) -> pl.DataFrame:
    """Funnels as rows: ref, gate, reason, rows, share (of the rows in; null: not known), examples (texts)."""
    rows: list[tuple[str, str, str, int | None, float | None, list[str]]] = []
    for passage in found:
        ref, told, shown = passage.ref, passage.funnel, passage.dropped
        for gate, reason, n in told.left:
            texts = [row.evidence for row in shown.get((gate, reason), ())]
            share = n / told.rows_in if told.rows_in else None
            rows.append((ref, gate, reason, n, share, texts))
        whole = (("", "rows in", told.rows_in), ("", "kept", told.rows_out))
        rows += [(ref, *line, None, []) for line in whole if line[2] is not None]
    schema = {"ref": pl.String, "gate": pl.String, "reason": pl.String, "rows": pl.Int64, "share": pl.Float64}
    return pl.DataFrame(rows, schema={**schema, "examples": pl.List(pl.String)}, orient="row")


def kept(refs: Current, ref: str) -> list[tuple[str, str]]:
    """(example_id, text) of some SFT examples that were made of what passed, prompt first, each category first."""
    name, columns, lake = ref.removesuffix("/drops"), ["example_id", "category", "prompt", "completion"], refs.lake
    if name not in refs or not (refs[name].table or "").startswith("sft_examples/"):
        return []
    parts = []
    for shard in refs[name].shards:  # a set may be larger than memory
        rows = pl.DataFrame(lake.read_table(shard.path, shard.sha256, columns)).select(columns)
        parts.append(rows.group_by("category", maintain_order=True).head(EXAMPLES))
    rows = pl.concat(parts).select(columns)
    firsts = pl.concat([rows.unique("category", keep="first", maintain_order=True), rows])
    shown = firsts.unique(maintain_order=True).head(EXAMPLES).select(columns)
    return [(row, _cut(prompt + completion)) for row, _, prompt, completion in shown.iter_rows()]


def dropped(
    lake: Lake, ref: str, most: int = DROPPED, refs: Current | None = None
) -> Mapping[tuple[str, str], list[Dropped]]:
    """The first rows that left, at most so many for each gate and reason, one shard in memory at a time."""
    refs = refs or Current(lake)
    found: dict[tuple[str, str], list[Dropped]] = {}
    firsts = (row for name in _chain(refs, ref) for row in _firsts(lake, refs[name], most))
    for gate, reason, value, text, row_id in firsts:
        shown = found.setdefault((gate, reason), [])
        if len(shown) < most:
            shown.append(Dropped(gate, reason, value, _cut(text), row_id))
    return dict(sorted(found.items()))


def _firsts(lake: Lake, drops: Manifest, most: int) -> Iterator[tuple[str, ...]]:
    columns = ["gate", "reason", "value", "evidence", "row_id"]
    for shard in drops.shards:
        rows = pl.DataFrame(lake.read_table(shard.path, shard.sha256, columns)).select(columns)
        yield from rows.group_by("gate", "reason", maintain_order=True).head(most).select(columns).iter_rows()


def _rows_in(refs: Current, ref: str, drops: Manifest) -> int | None:
    """Rows of the first input; of a step that chooses what it looks at, those that left and those that stayed."""
    if drops.step in PARTS:
        return None
    given = {p.role: drops.counts.get(f"rows_in_{p.role}", 0) for p in drops.parents}
    if drops.step in SUMMED:
        return sum(given.values())
    if drops.step in TRAINED_ON:
        looked_at = pl.DataFrame(read_rows(refs.lake, read_manifest(refs.lake, drops.parents[0].path), ["split"]))
        return looked_at.filter(split="train").height
    beside = BESIDE.get(drops.step)
    if beside is None and given:
        return next(iter(given.values())) - given.get(AFTER.get(drops.step, ""), 0)
    stayed = "/".join(p for p in (ref.rpartition("/")[0], beside) if p)
    return drops.rows + _before_cleaning(refs.lake, refs[stayed]).rows if stayed in refs else None


def _before_cleaning(lake: Lake, left: Manifest) -> Manifest:
    """The rows that a step chose, where some of them were taken out again after it."""
    while role := BEFORE.get(left.step):
        left = read_manifest(lake, next(p.path for p in left.parents if p.role == role))
    return left


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ... ({len(text):,} characters)"
