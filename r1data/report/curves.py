"""Training curves of a stage as inline SVG, from the metrics that its checkpoint carries."""

import io

import polars as pl

from r1data.errors import LakeError
from r1data.refs import resolve
from r1data.storage import Lake

WATCHED = (
    *("reward", "accuracy", "format", "language_consistency", "completion_tokens", "reflection_words"),
    *("loss", "kl"),
)
INK = "#5b6472"
LINE = "#2f6fdb"


def metrics(lake: Lake, recipe: str, stage: str) -> pl.DataFrame:
    """METRICS of a stage's checkpoint; empty where the stage has not run."""
    try:
        manifest = resolve(lake, f"{recipe}/{stage}")
    except LakeError:
        return pl.DataFrame()
    names = [f.path for f in manifest.files if f.path.endswith("/metrics.parquet")]
    return pl.DataFrame(lake.read_table(names[0])) if names else pl.DataFrame()


def curves_svg(frame: pl.DataFrame) -> str:
    """One small plot a metric, side by side, as an `<svg>` element without any outside reference."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    shown = [m for m in WATCHED if m in frame["metric"].unique()]
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "r1data", "font.size": 8}):
        figure = Figure(figsize=(2.2 * len(shown), 1.7), layout="constrained")
        for i, name in enumerate(shown):
            axes = figure.add_subplot(1, len(shown), i + 1)
            points = frame.filter(pl.col("metric") == name).sort("step")
            axes.plot(points["step"].to_list(), points["value"].to_list(), color=LINE, linewidth=1.2)
            axes.set_title(name.replace("_", " "), fontsize=8, color=INK)
            axes.tick_params(colors=INK, labelsize=7)
            for side in ("top", "right"):
                axes.spines[side].set_visible(False)
        sink = io.StringIO()
        figure.savefig(sink, format="svg", transparent=True, metadata={"Date": None})
    text = sink.getvalue()
    return text[text.index("<svg") :]
