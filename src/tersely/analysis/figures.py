"""The pictures of a report, but for the training curves."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tersely.analysis.comparison import Comparison
from tersely.analysis.correlation import Correlation
from tersely.analysis.document import shown
from tersely.analysis.drawing import COLOURS, INK, PAPER, Picture, canvas, finished, pens, rows_of
from tersely.analysis.measures import LABELS
from tersely.analysis.paired import Interval
from tersely.analysis.results import Results
from tersely.evaluation.lengths import TOLERANCE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh

ROW = 0.34
"""Inches that a row of names takes."""
LEAST = 10
"""Summaries within so many tokens of the target below which their mean is not drawn."""


def differences(comparisons: Sequence[Comparison], measure: str) -> Picture:
    """Each difference with its interval; filled where the family leaves it."""
    with canvas(8.5, 1.1 + ROW * len(comparisons)) as figure:
        axes = rows_of(figure, [each.a for each in comparisons])
        axes.axvline(0, color=INK, lw=1)
        for place, each in enumerate(comparisons):
            colour = COLOURS[0] if each.survives else "#7f8790"
            if isinstance(each.interval, Interval):
                axes.plot([each.interval.low, each.interval.high], [place] * 2, color=colour, lw=2)
            face = colour if each.survives else PAPER
            axes.plot(each.difference, place, "o", ms=7, mec=colour, mfc=face, mew=1.6)
        against = {each.b for each in comparisons}
        what = next(iter(against)) if len(against) == 1 else "the baseline"
        axes.set_xlabel(f"difference in {measure} from {what}, with its 95 % interval")
        return finished(figure, "differences")


def lengths(results: Results) -> Picture:
    """Of every configuration: 5th to 95th percentile, the middle half, the median."""
    with canvas(8.5, 1.2 + ROW * len(results.sides)) as figure:
        axes = rows_of(figure, list(results.sides))
        for target in sorted({side.target for side in results.sides.values()}):
            near = (target - TOLERANCE, target + TOLERANCE)
            label = f"target {target} ± {TOLERANCE}"
            axes.axvspan(*near, color=COLOURS[2], alpha=0.2, lw=0, label=label)
        for place, side in enumerate(results.sides.values()):
            low, first, middle, third, high = np.percentile(side.lengths, (5, 25, 50, 75, 95))
            axes.plot([low, high], [place] * 2, color=COLOURS[0], lw=1.4)
            axes.plot([first, third], [place] * 2, color=COLOURS[0], lw=7, solid_capstyle="butt")
            axes.plot(middle, place, "o", ms=5, mfc=PAPER, mec=COLOURS[0], mew=1.4)
        axes.set_xlabel("summary length, tokens: median, middle half, 5th to 95th percentile")
        figure.legend(loc="outside upper right")
        return finished(figure, "lengths")


def frontier(results: Results) -> Picture:
    """Mean score of the summaries within k tokens of the target, and how many those are."""
    keys = [(each.reward, each.strategy) for each in results.configurations]
    with canvas(10, 4.2 + 0.11 * len(keys)) as figure:
        score, share = figure.subplots(1, 2, sharex=True)
        for (name, line), pen in zip(results.frontiers.items(), pens(keys), strict=True):
            ks = range(len(line))
            means = [np.nan if w.mean is None or w.count < LEAST else w.mean for w in line]
            style = {"color": pen.colour, "ls": pen.dash, "lw": 1.7}
            score.plot(ks, means, label=name, **style)
            share.plot(ks, [within.share for within in line], **style)
        if not any(np.isfinite(line.get_ydata()).any() for line in score.lines):
            score.set_yticks([])
            score.text(
                *(0.5, 0.5, f"nowhere {LEAST} or more summaries with a score"),
                transform=score.transAxes,
                ha="center",
                color=INK,
            )
        for axes, label in (
            (score, f"mean {results.measure.name} of those"),
            (share, "share of summaries"),
        ):
            axes.set_xlabel("at most so many tokens off the target")
            axes.set_ylabel(label)
            axes.grid(axis="y")
        share.set_ylim(0, 1)
        handles, labels = score.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
        return finished(figure, "frontier")


def heat_maps(
    pools: dict[tuple[str, str], dict[tuple[str, str], Correlation]], columns: Sequence[str]
) -> Picture:
    """Pearson's r of every two columns, a panel a pool."""
    across = min(2, len(pools))
    down = -(-len(pools) // across)
    side = 1.5 + 0.5 * len(columns)
    with canvas(min(side * across + 0.7, 12), min(side * down, 6.0 * down)) as figure:
        panels = figure.subplots(down, across, squeeze=False).flat
        mesh = None
        for axes, (pool, found) in zip(panels, pools.items(), strict=False):
            mesh = heat_map(axes, found, columns)
            axes.set_title(" · ".join(part for part in pool if part))
        for axes in list(figure.axes)[len(pools) :]:
            axes.set_visible(False)
        if mesh is not None:
            figure.colorbar(mesh, ax=figure.axes, shrink=0.6, label="r", pad=0.02)
        return finished(figure, "correlations")


def heat_map(
    axes: "Axes", found: dict[tuple[str, str], Correlation], columns: Sequence[str]
) -> "QuadMesh":
    import matplotlib

    values = np.full((len(columns), len(columns)), np.nan)
    for (x, y), correlation in found.items():
        i, j = columns.index(x), columns.index(y)
        if correlation.r is not None:
            values[i, j] = values[j, i] = correlation.r
    # A mesh, and fewer than 50 shades: else there would be bitmaps inside the SVG.
    shades = matplotlib.colormaps["RdBu_r"].resampled(41)
    mesh = axes.pcolormesh(values, cmap=shades, vmin=-1, vmax=1, edgecolors=PAPER, lw=1)
    for (i, j), r in np.ndenumerate(values):
        if np.isfinite(r):
            ink = "#ffffff" if abs(r) > 0.55 else "#15181c"
            place = (j + 0.5, i + 0.5)
            axes.annotate(shown(r, ".2f"), place, ha="center", va="center", color=ink, fontsize=8)
    labels = [LABELS.get(column, column) for column in columns]
    ticks = [place + 0.5 for place in range(len(columns))]
    axes.set_xticks(ticks, labels, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(ticks, labels)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.invert_yaxis()
    axes.set_aspect("equal")
    return mesh
