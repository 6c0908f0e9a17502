"""Panels and pictures, in plain matplotlib on the Agg canvas: no window, no global state."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Series = Mapping[int, float]
"""Step -> value."""
Panel = Callable[["Axes"], None]

BLUE, GREEN, GREY, RED = "#1f6fb4", "#2e8b57", "#8a8a8a", "#c23b22"
FEW = 40
"""Steps up to which a curve is drawn as it is; beyond, with a running median."""


def draw(file: Path, panels: Sequence[Panel]) -> Path:
    """One picture with its panels side by side."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # It says at length that it has made its list of fonts.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.WARNING)
    figure = Figure(figsize=(5.2 * len(panels), 3.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(1, len(panels), sharex=True, squeeze=False)
    for panel, axes in zip(panels, grid[0], strict=True):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.25)
        panel(axes)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)
    return file


def curve(axes: "Axes", values: Series, label: str, spread: Series | None = None) -> None:
    """A line over steps; a band of one standard deviation; a running median on a long run."""
    steps = sorted(values)
    points = [values[step] for step in steps]
    many = len(points) > FEW
    if spread is not None:
        low = {step: values[step] - spread[step] for step in steps if step in spread}
        high = {step: values[step] + spread[step] for step in steps if step in spread}
        band(axes, low, high, "± one std within a group")
    axes.plot(steps, points, color=BLUE, lw=1 if many else 1.8, alpha=0.4 if many else 1)
    if many:
        axes.plot(steps, running_median(points, len(points) // 20), color=BLUE, lw=1.8)
    axes.ticklabel_format(useOffset=False)
    axes.set_xlabel("step")
    axes.set_ylabel(label)


def band(axes: "Axes", low: Series, high: Series, label: str) -> None:
    """The area between two curves, where both are known."""
    steps = sorted(low.keys() & high.keys())
    lows, highs = [low[step] for step in steps], [high[step] for step in steps]
    axes.fill_between(steps, lows, highs, color=BLUE, alpha=0.15, lw=0, label=label)
    axes.legend(frameon=False)


def target_line(axes: "Axes", target: int) -> None:
    axes.axhline(target, color=RED, lw=1, ls="--", label=f"target {target}")
    axes.legend(frameon=False)


def histogram(
    axes: "Axes", before: Sequence[int], after: Sequence[int], target: int, within: int = 5
) -> None:
    """Summary lengths, in tokens, before and after training, with the target's surroundings."""
    shortest, longest = min(*before, *after, target), max(*before, *after, target)
    width = max(1, (longest - shortest) // 40)
    edges = list(range(shortest, longest + 2 * width, width))
    axes.axvspan(target - within, target + within, color=RED, alpha=0.12, lw=0)
    axes.axvline(target, color=RED, lw=1, ls="--", label=f"target {target} ± {within}")
    axes.hist(before, edges, color=GREY, alpha=0.6, label=f"before, mean {fmean(before):.1f}")
    axes.hist(after, edges, color=BLUE, alpha=0.6, label=f"after, mean {fmean(after):.1f}")
    axes.set_xlabel("summary length, tokens")
    axes.set_ylabel("summaries of the test split")
    axes.legend(frameon=False)


def running_median(points: Sequence[float], window: int) -> list[float]:
    """The median of each point and up to `window` neighbours on either side.

    Not the mean: where a stage begins the reward jumps, and a mean would draw a slope.
    """
    return [
        median(points[max(0, index - window) : index + window + 1]) for index in range(len(points))
    ]
