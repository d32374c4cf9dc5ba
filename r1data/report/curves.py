"""Training curves of a stage as inline SVG, from the metrics that its checkpoint carries: one small plot a metric.

Colours are the page's own CSS variables, so that the plots follow light and dark.
"""

import io
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import polars as pl

from r1data.manifest import Manifest
from r1data.storage import Lake

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WATCHED = (
    *("reward", "accuracy", "format", "language_consistency", "completion_tokens", "reflection_words"),
    *("held_out_accuracy", "loss", "kl"),
)
SIZE = (2.5, 1.6)
# Colours for matplotlib, each replaced by a variable of the page's style.
INK, LINE = "#5b6472", "#2f6fdb"
VARIABLES = {INK: "var(--soft)", LINE: "var(--accent)"}
# Ids that nothing refers to, the same in every plot.
SURPLUS = re.compile(r' id="(?:figure|axes|patch|line2d|text|matplotlib\.axis|xtick|ytick)_\d+"')


def metrics(lake: Lake, checkpoint: Manifest) -> pl.DataFrame:
    """METRICS of a checkpoint; no rows where none were kept."""
    files = [f for f in checkpoint.files if f.path.endswith("/metrics.parquet")]
    if not files:
        return pl.DataFrame(schema={"step": pl.Int64, "metric": pl.String, "value": pl.Float64})
    return pl.DataFrame(lake.read_table(files[0].path, files[0].sha256))


def curves(frame: pl.DataFrame) -> Iterator[tuple[str, str]]:
    """(what a plot shows in words, its `<svg>` element) for each watched metric of a stage."""
    for name in WATCHED:
        points = frame.filter((pl.col("metric") == name) & pl.col("value").is_finite()).sort("step")
        if points.height:
            steps, values = points["step"].to_list(), points["value"].to_list()
            told = f"{name.replace('_', ' ')}: {values[0]:.4g} to {values[-1]:.4g} over {steps[-1]:,} steps"
            yield told, _plot(f"{points['stage'][0]} {name}", name, steps, values)


def _plot(salt: str, name: str, steps: list[int], values: list[float]) -> str:
    from matplotlib.ticker import MaxNLocator

    def draw(axes: "Axes") -> None:
        axes.plot(steps, values, color=LINE, linewidth=1.3, marker="o" if len(steps) < 3 else None, markersize=3)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))

    return drawn(salt, name, draw)


def drawn(salt: str, name: str, draw: Callable[["Axes"], None]) -> str:
    """The `<svg>` of one small plot under its name; equal for equal input, in the page's colours."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with rc_context({"svg.fonttype": "none", "svg.hashsalt": salt, "font.size": 8}):
        figure = Figure(figsize=SIZE, layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        axes.set_title(name.replace("_", " "), fontsize=8, color=INK)
        axes.tick_params(colors=INK, labelsize=7)
        draw(axes)
        for side, spine in axes.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(INK)
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
