"""The table of trainings: what `r1 plan` prints of memory, GPUs and hours."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from r1data.cli.printing import print_table

if TYPE_CHECKING:
    from r1data.cluster_params import ClusterParams
    from r1data.fitting import FitLine

COLUMNS = ("training", "parameters", "tokens", "ZeRO-0", "1", "2", "3", "GPUs", "fits to", "hours", "")


def print_sizes(lines: "Sequence[FitLine]", cluster: "ClusterParams") -> None:
    """A row a training: GB on each GPU by ZeRO stage, the recipe's marked."""
    if not lines:
        return
    has = f"{cluster.gpu.memory_gb:,.0f} GB" if cluster.gpu.memory_gb else "no [cluster.gpu] memory_gb: none is refused"
    print(f"trainings on {cluster.ranks} x {has}; GB on each by ZeRO stage, [the recipe's]; hours of computing at most")
    print_table(COLUMNS, size_rows(lines))
    print()


def size_rows(lines: "Sequence[FitLine]") -> list[tuple[str, ...]]:
    """The cells; `-` where something is not known."""
    return [_cells(line) for line in lines]


def _cells(line: "FitLine") -> tuple[str, ...]:
    load = line.load
    if load is None:
        return (line.node, *["-"] * 9, line.note)
    stages = [f"{m.total / 1e9:,.1f}" for m in line.stages]
    stages[load.stage] = f"[{stages[load.stage]}]"
    return (
        line.node,
        f"{load.shape.parameters / 1e9:.3g}B"
        if load.shape.parameters >= 1e8
        else f"{load.shape.parameters / 1e6:.3g}M",
        f"{load.rows} x {load.context:,}",
        *stages,
        f"{line.needed:,}" if line.needed else "-",
        f"{line.longest:,}" if line.longest else "-",
        f"<= {line.hours:,.3g}" if line.hours is not None else "-",
        line.note,
    )
