"""What it took to make what is current: tokens generated, GPU-hours and, where the recipe has a price, money.

Tokens are counted in the datasets and rollouts themselves. Sampling takes as long as its tokens at the speed that its
record (`pilots/`) has of it; training as long as the process that committed the checkpoint. Whichever run paid counts.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from r1data import html
from r1data.cluster_params import ClusterParams
from r1data.manifest import Manifest, Rows, carried
from r1data.pilot import read_pilot
from r1data.report.gathered import Run
from r1data.report.stages import short_step

COLUMNS = ("made", "how", "answers", "tokens", "GPU-hours", "of all")
TABLE = ("node", "how", "answers", "tokens generated", "GPU-hours", "cost")
TOKENS = "completion_tokens"


@dataclass(frozen=True)
class Spent:
    """One node: how many answers of how many tokens were generated for it, and GPU-hours (None: not known)."""

    node: str
    how: str
    answers: int
    tokens: int
    gpu_hours: float | None


def spent(run: Run, cluster: ClusterParams) -> list[Spent]:
    """Every sampling and every training of a run, in order; `cluster` says how many devices a training occupied."""
    found = []
    for name, m in run.nodes.items():
        if (m.table or "").startswith("candidates/"):
            answers, tokens = _counted([Rows.of(run.lake, m)])
            found.append(Spent(name, "sampling", answers, tokens, _sampling_hours(run, name, m, tokens)))
        elif m.kind == "checkpoint" and "steps" in m.counts:
            answers, tokens = _counted(r for r in carried(run.lake, m) if r.table == "rollouts")
            hours = (m.finished - m.started) * _devices(m, cluster) / 3600 if m.finished > m.started > 0 else None
            found.append(Spent(name, short_step(m), answers, tokens, hours))
    return found


def _counted(tables: Iterable[Rows]) -> tuple[int, int]:
    """Rows and their tokens; one column is read, some thousand rows at a time."""
    answers = tokens = 0
    for rows in tables:
        for batch in rows.batches([TOKENS]):
            answers += batch.num_rows
            tokens += sum(n or 0 for n in batch.column(0).to_pylist())
    return answers, tokens


def _sampling_hours(run: Run, name: str, m: Manifest, tokens: int) -> float | None:
    """By the speed of the same model in the node's record."""
    pilot = read_pilot(run.lake, run.recipe, name)
    models = {p.digest for p in m.parents if p.role == "model"}
    if pilot is None or pilot.model_digest not in models or not pilot.tokens_per_second:
        return None
    return tokens / pilot.tokens_per_second * pilot.gpus / 3600


def _devices(m: Manifest, cluster: ClusterParams) -> int:
    """Those of the training's ranks, and of the servers that make its rollouts."""
    served = m.step == "grpo" and cluster.rollouts == "server"
    return cluster.ranks + (cluster.budget.gpus if served else 0)


def tiles(found: Sequence[Spent], cluster: ClusterParams) -> Iterator[str]:
    """The sums."""
    tokens, answers = sum(s.tokens for s in found), sum(s.answers for s in found)
    hours = sum(s.gpu_hours or 0.0 for s in found)
    unknown = sum(s.gpu_hours is None for s in found)
    beyond = f"without {unknown} of {len(found)} that left no record of it" if unknown else "sampling and training"
    yield html.tile("generated", short(tokens), f"{tokens:,} tokens in {answers:,} answers")
    yield html.tile("device time", f"{hours:,.2f} h", f"GPU-hours, {beyond}")
    money, price = cluster.budget.money(hours), cluster.budget.money(1.0)
    told = f"at {price} a GPU-hour" if money else "gpu_hour_price in [cluster.budget] sets one"
    yield html.tile("money", money or "no price", told)


def section(found: Sequence[Spent], cluster: ClusterParams) -> Iterator[str]:
    """Sums, and a line for everything that asked or trained a model."""
    if not found:
        yield html.paragraph("Nothing was sampled or trained.")
        return
    yield f'<div class="tiles">{"".join(tiles(found, cluster))}</div>'
    yield html.paragraph(
        "What is current took this, whichever run paid. Answers and tokens are counted in the datasets and rollouts. "
        "Hours of sampling are tokens at the speed recorded by the last one; those of training are of the process "
        "that committed the checkpoint. Without a GPU a model server or a training process on the CPU counts as one."
    )
    whole = sum(s.gpu_hours or 0.0 for s in found)
    money = bool(cluster.budget.gpu_hour_price)
    body = [(*_cells(s, whole), *([_money(s, cluster)] if money else [])) for s in found]
    yield html.table((*COLUMNS, *(["cost"] if money else [])), body)


def _money(s: Spent, cluster: ClusterParams) -> str:
    return "-" if s.gpu_hours is None else cluster.budget.money(s.gpu_hours)


def _cells(s: Spent, whole: float) -> tuple[str, ...]:
    hours = "-" if s.gpu_hours is None else f"{s.gpu_hours:,.3f}"
    share = html.bar(0, (s.gpu_hours or 0.0) / whole) if whole else "-"
    return s.node, s.how, f"{s.answers:,}" if s.answers else "-", f"{s.tokens:,}" if s.tokens else "-", hours, share


def rows(found: Sequence[Spent], cluster: ClusterParams) -> list[tuple[str, ...]]:
    """A table of text cells, in the order of TABLE: the sum of what is known, then every node."""
    known = [s.gpu_hours for s in found if s.gpu_hours is not None]
    total = Spent("total", "", sum(s.answers for s in found), sum(s.tokens for s in found), sum(known))
    return [(*_cells(s, 0)[:-1], _money(s, cluster) or "-") for s in (total, *found)]


def short(number: float) -> str:
    """A large number in three figures: 1.25 M."""
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:,.0f}"
