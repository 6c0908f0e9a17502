"""Training curves of all configurations, laid over each other."""

from collections.abc import Sequence

import numpy as np

from tersely.analysis.configurations import Configuration
from tersely.analysis.drawing import INK, Picture, canvas, finished, pens
from tersely.analysis.paired import Floats
from tersely.analysis.runs import CURVES, Series

FEW = 60
"""Steps up to which a curve is drawn as it is; a longer one as its running median."""
POINTS = 200
"""Points that a curve is drawn with, at most."""


def curves(configurations: Sequence[Configuration], name: str) -> Picture | None:
    """A panel a metric, a line a configuration, over its seeds' mean; None without metrics."""
    keys = [
        key for key in CURVES if any(key in run.series for c in configurations for run in c.runs)
    ]
    if not keys:
        return None
    across = min(3, len(keys))
    down = -(-len(keys) // across)
    legend_rows = -(-len(configurations) // 3)
    with canvas(11, 2.6 * down + 0.2 + 0.2 * legend_rows) as figure:
        panels = figure.subplots(down, across, squeeze=False).flat
        styles = pens([(each.reward, each.strategy) for each in configurations])
        for axes, key in zip(panels, keys, strict=False):
            for each, pen in zip(configurations, styles, strict=True):
                steps, values = curve([run.series[key] for run in each.runs if key in run.series])
                axes.plot(steps, values, color=pen.colour, ls=pen.dash, lw=1.4, label=each.name)
            axes.set_title(CURVES[key])
            axes.set_xlabel("step")
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.grid(axis="y")
            axes.ticklabel_format(useOffset=False)
            if key == "length/mean":
                for target in sorted({each.target for each in configurations}):
                    axes.axhline(target, color=INK, lw=1, ls=(0, (1, 2)))
        handles, labels = figure.axes[0].get_legend_handles_labels()
        for axes in list(figure.axes)[len(keys) :]:
            axes.set_visible(False)
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
        return finished(figure, name)


def curve(of_seeds: Sequence[Series]) -> tuple[Floats, Floats]:
    """Steps and values: the mean over the seeds that have a step, smoothed where it is long."""
    steps = np.array(sorted(set().union(*of_seeds)) if of_seeds else [], dtype=np.float64)
    if len(steps) == 0:
        return steps, steps
    rows = np.array([[series.get(int(step), np.nan) for step in steps] for series in of_seeds])
    there = ~np.isnan(rows)
    counts = there.sum(axis=0)
    with np.errstate(invalid="ignore"):
        values = np.where(there, rows, 0.0).sum(axis=0) / counts
    if len(steps) <= FEW:
        return steps, values
    chosen = np.unique(np.linspace(0, len(steps) - 1, POINTS).astype(int))
    return steps[chosen], running_median(values, len(values) // 40)[chosen]


def running_median(values: Floats, window: int) -> Floats:
    """The median of each value and up to `window` neighbours on either side, ends being cut.

    Not the mean: where a stage begins the reward jumps, and a mean would draw a slope. A window
    without any finite value gives NaN.
    """
    padded = np.pad(values, window, constant_values=np.nan)
    windows = np.sort(np.lib.stride_tricks.sliding_window_view(padded, 2 * window + 1), axis=1)
    known = (~np.isnan(windows)).sum(axis=1)  # sorting puts NaN last
    low, high = np.maximum(known - 1, 0) // 2, known // 2
    rows = np.arange(len(values))
    return np.asarray((windows[rows, low] + windows[rows, high]) / 2)
