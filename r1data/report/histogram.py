"""A histogram with thresholds as inline SVG, in the page's own colours."""

from typing import TYPE_CHECKING

import numpy as np

from r1data.report.curves import INK, LINE, drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BINS = 40


def histogram(name: str, every: np.ndarray, correct: np.ndarray, current: float | None, suggested: float | None) -> str:
    """An `<svg>` of two samples of a measure, and of the thresholds that are known; unmeasured values are left out."""
    samples = [(values[~np.isnan(values)], colour) for values, colour in ((every, INK), (correct, LINE))]
    whole = samples[0][0]
    edges = np.histogram_bin_edges(whole if whole.size else np.zeros(1), BINS)

    def draw(axes: "Axes") -> None:
        for values, colour in samples:
            axes.stairs(np.histogram(values, edges)[0], edges, color=colour, fill=True, alpha=0.6)
        for at, style in ((current, "-"), (suggested, ":")):
            if at is not None:
                axes.axvline(at, color=INK, linestyle=style, linewidth=1)
        axes.set_yscale("symlog", linthresh=1)
        axes.set_ylim(bottom=0)

    return drawn(f"histogram {name}", draw)
