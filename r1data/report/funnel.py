"""What a gate let through: rows in, rows that left by reason, rows out, and examples of both."""

from dataclasses import dataclass

import polars as pl

from r1data.manifest import read_manifest, read_rows
from r1data.refs import list_refs, resolve
from r1data.storage import Lake

COLUMNS = ("", "rows", "share")
CLEANED = ("contaminated", "duplicates")
EXAMPLES = 4
LONGEST = 1_500


@dataclass(frozen=True)
class Funnel:
    """Rows in, (gate, reason, rows) of those that left, most first, and rows out."""

    rows_in: int
    left: tuple[tuple[str, str, int], ...]

    @property
    def rows_out(self) -> int:
        """Rows that no gate stopped."""
        return self.rows_in - sum(n for _, _, n in self.left)

    @property
    def cells(self) -> list[tuple[str, str, str]]:
        """The table: candidates, every reason, kept."""
        whole = max(1, self.rows_in)
        body = [("candidates", f"{self.rows_in:,}", "100.0 %")]
        body += [(f"- {g}: {r.replace('_', ' ')}", f"{n:,}", f"{100 * n / whole:.1f} %") for g, r, n in self.left]
        return [*body, ("kept", f"{self.rows_out:,}", f"{100 * self.rows_out / whole:.1f} %")]


@dataclass(frozen=True)
class Dropped:
    """A row that left: why, and how its text begins."""

    gate: str
    reason: str
    value: str
    evidence: str


def funnel(lake: Lake, recipe: str, stage: str) -> Funnel | None:
    """The funnel of a stage with candidates and drops; None where it has not run."""
    names = [f"{recipe}/{stage}/{table}" for table in ("candidates", "drops")]
    if not set(names) <= set(list_refs(lake)):
        return None
    left = _left(lake, recipe, stage, ["gate", "reason"]).group_by("gate", "reason").len("rows")
    left = left.sort("rows", "gate", "reason", descending=[True, False, False])
    return Funnel(resolve(lake, names[0]).rows, tuple(left.iter_rows()))


def kept(lake: Lake, recipe: str, stage: str) -> list[str]:
    """Some examples that a stage made, prompt and completion in one text, one of each category first."""
    name, columns = f"{recipe}/{stage}", ["category", "prompt", "completion"]
    if name not in list_refs(lake):
        return []
    rows = pl.DataFrame(read_rows(lake, resolve(lake, name), columns)).select(columns)
    firsts = pl.concat([rows.unique("category", keep="first", maintain_order=True), rows])
    shown = firsts.unique(maintain_order=True).head(EXAMPLES)
    return [_cut(prompt + completion) for _, prompt, completion in shown.iter_rows()]


def dropped(lake: Lake, recipe: str, stage: str) -> list[Dropped]:
    """One row that left for each gate and reason."""
    columns = ["gate", "reason", "value", "evidence"]
    firsts = _left(lake, recipe, stage, columns).unique(["gate", "reason"], keep="first", maintain_order=True)
    return [Dropped(gate, reason, value, _cut(text)) for gate, reason, value, text in firsts.iter_rows()]


def _left(lake: Lake, recipe: str, stage: str, columns: list[str]) -> pl.DataFrame:
    """The drops of a stage: of its gates, and of what its examples were cleaned of besides."""
    made = [n for n in (f"{recipe}/{stage}/reasoning", f"{recipe}/{stage}") if n in list_refs(lake)]
    parents = resolve(lake, made[0]).parents if made else ()
    tables = [resolve(lake, f"{recipe}/{stage}/drops")]
    tables += [read_manifest(lake, p.path) for p in parents if p.role in CLEANED]
    return pl.concat([pl.DataFrame(read_rows(lake, table, columns)).select(columns) for table in tables])


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ... ({len(text):,} characters)"
