"""Training curves of a stage as inline SVG, from the metrics that its checkpoint carries: one small plot a metric.

Colours are the page's own CSS variables, so that the plots follow light and dark.
"""

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from r1data.manifest import Manifest
from r1data.storage import Lake

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WATCHED = (
    *("reward", "accuracy", "format", "language_consistency", "completion_tokens", "reflection_words"),
    *("held_out_accuracy", "loss", "kl"),
)
SIZE = (2.6, 1.4)
# Of more steps than this the mean around each is drawn over the steps themselves.
MANY = 100
# Colours for matplotlib, each replaced by a variable of the page's style.
INK, LINE, GRID = "#5b6472", "#2f6fdb", "#d9dee6"
VARIABLES = {INK: "var(--soft)", LINE: "var(--accent)", GRID: "var(--line)"}
# Ids that nothing refers to, the same in every plot.
SURPLUS = re.compile(r' id="(?:figure|axes|patch|line2d|text|matplotlib\.axis|xtick|ytick)_\d+"')


def metrics(lake: Lake, checkpoint: Manifest) -> pl.DataFrame:
    """METRICS of a checkpoint; no rows where none were kept."""
    files = [f for f in checkpoint.files if f.path.endswith("/metrics.parquet")]
    if not files:
        return pl.DataFrame(schema={"step": pl.Int64, "metric": pl.String, "value": pl.Float64})
    return pl.DataFrame(lake.read_table(files[0].path, files[0].sha256))


@dataclass(frozen=True)
class Plot:
    """One metric of a stage: its name, first and last value, what is seen in words, and the `<svg>`."""

    name: str
    first: float
    last: float
    told: str
    svg: str


def curves(frame: pl.DataFrame) -> Iterator[Plot]:
    """A plot for each watched metric of a stage."""
    for name in WATCHED:
        points = frame.filter((pl.col("metric") == name) & pl.col("value").is_finite()).sort("step")
        if points.height:
            steps, values = points["step"].to_list(), points["value"].to_list()
            told = f"{name.replace('_', ' ')}: {values[0]:.4g} to {values[-1]:.4g} over {steps[-1]:,} steps"
            svg = _plot(f"{points['stage'][0]} {name}", steps, values)
            yield Plot(name.replace("_", " "), values[0], values[-1], told, svg)


def _plot(salt: str, steps: list[int], values: list[float]) -> str:
    from matplotlib.ticker import MaxNLocator

    def draw(axes: "Axes") -> None:
        many, marker = len(steps) > MANY, "o" if len(steps) < 3 else None
        axes.plot(steps, values, color=LINE, linewidth=1.4, alpha=0.3 if many else 1, marker=marker, markersize=3)
        if many:
            axes.plot(*_smooth(steps, values), color=LINE, linewidth=1.4)
        axes.plot(steps[-1:], values[-1:], color=LINE, marker="o", markersize=3.5)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=4))

    return drawn(salt, draw)


def _smooth(steps: list[int], values: list[float]) -> tuple[list[int], np.ndarray]:
    """The mean around each step, where there are enough on both sides."""
    window = len(values) // 50 * 2 + 1
    return steps[window // 2 : len(steps) - window // 2], np.convolve(values, np.ones(window) / window, mode="valid")


def drawn(salt: str, draw: Callable[["Axes"], None]) -> str:
    """The `<svg>` of one small plot; equal for equal input, in the page's colours."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with rc_context({"svg.fonttype": "none", "svg.hashsalt": salt, "font.size": 8}):
        figure = Figure(figsize=SIZE, layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        axes.tick_params(colors=INK, labelsize=7, length=0)
        draw(axes)
        axes.grid(axis="y", color=GRID, linewidth=0.7)
        axes.set_axisbelow(True)
        for side, spine in axes.spines.items():
            spine.set_visible(side == "bottom")
            spine.set_color(GRID)
        sink = io.StringIO()
        figure.savefig(sink, format="svg", transparent=True, metadata={"Date": None})
    return _for_page(sink.getvalue())


def _for_page(text: str) -> str:
    """The `<svg>` element alone, in the page's colours, with the ids that nothing refers to left out."""
    svg = SURPLUS.sub("", text[text.index("<svg") :])
    for surplus in (r"<metadata>.*?</metadata>", r"<style.*?</style>", r"font-family: [^;]*; "):
        svg = re.sub(surplus, "", svg, flags=re.DOTALL)
    svg = re.sub(r"<svg [^>]*?(viewBox=\"[^\"]*\")[^>]*>", r'<svg xmlns="http://www.w3.org/2000/svg" \1>', svg, count=1)
    svg = svg.replace("xlink:href", "href")
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, variable)
    return svg
