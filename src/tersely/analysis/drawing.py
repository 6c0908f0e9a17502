"""Pictures as SVG that stand on a light page and on a dark one, and as files.

Plain matplotlib on a figure of its own: no window, no global state but its settings of text.
"""

import io
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

INK, FAINT, PAPER = "#1f2329", "#d0d4da", "#fdfdfc"
"""No other colour of a picture is one of these, so that a page can put its own in their place."""
ON_PAGE = {INK: "currentColor", FAINT: "var(--rule)", PAPER: "var(--paper)"}

COLOURS = (
    "#2f7fd1", "#d9730d", "#2e9e6b", "#c2459b", "#8a6bd1", "#b08a0a", "#d14545", "#1a9bab",
    "#7d8a2e", "#96674a",
)  # fmt: skip
"""Told apart on white and on near-black."""
DASHES = ("-", "--", ":", "-.")

PIXELS_A_POINT = 1.4
"""Of a picture on a page, at most: its letters are then as large as those of a table."""
LEAST_PIXELS = 540
"""On a narrow page a picture is scrolled, not made smaller than this."""

SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "tersely",  # the same picture is the same text
    "text.parse_math": False,  # a name may have a dollar in it
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": FAINT,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "font.size": 10,
    "axes.titlesize": 10,
    "font.family": "sans-serif",
}


@dataclass(frozen=True)
class Picture:
    """One drawing, in the forms that a report keeps."""

    on_page: str
    """SVG with the page's own colours, its ids its own."""
    svg: str
    png: bytes

    def write(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.svg").write_text(self.svg, encoding="utf-8")
        (folder / f"{name}.png").write_bytes(self.png)


@contextmanager
def canvas(width: float, height: float) -> Iterator["Canvas"]:
    """An empty figure of so many inches, while drawing settings hold."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # It says at length that it has made its list of fonts.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.WARNING)
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


def finished(figure: "Canvas", name: str) -> Picture:
    """The figure as SVG and PNG; inside `canvas`. `name` sets its ids apart on a page."""
    vector, raster = io.StringIO(), io.BytesIO()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(vector, format="svg", transparent=True, metadata=nothing)
    figure.savefig(raster, format="png", dpi=110, facecolor="white", metadata={"Software": None})
    svg = vector.getvalue()
    svg = svg[svg.index("<svg") :]
    return Picture(for_page(svg, name), svg, raster.getvalue())


def for_page(svg: str, name: str) -> str:
    """An SVG to stand in a page beside others: its ids are made its own, its ink the page's."""
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", svg)
    svg = re.sub(r'xlink:href="#([^"]+)"', rf'href="#{name}-\1"', svg)
    svg = re.sub(r'\sxmlns(:xlink)?="[^"]*"', "", svg)
    # As wide as there is room, but not so wide that its letters outgrow the page's.
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) width="([\d.]+)pt"', _sized, svg, count=1)
    for colour, own in ON_PAGE.items():
        svg = svg.replace(colour, own)
    # An element's attributes take no variables, its style does: without style, ink is black.
    return svg.replace("<svg ", '<svg role="img" fill="currentColor" ', 1)


def _sized(found: re.Match[str]) -> str:
    most = PIXELS_A_POINT * float(found[2])
    return f'{found[1]} style="max-width:{most:.0f}px;min-width:{min(most, LEAST_PIXELS):.0f}px"'


@dataclass(frozen=True)
class Pen:
    """How the lines of a configuration are drawn."""

    colour: str
    dash: str


def pens(keys: Sequence[tuple[str, str]]) -> list[Pen]:
    """A pen for each (reward, strategy): a colour a reward and a dash a strategy where that tells
    all apart, else a colour each."""
    rewards = list(dict.fromkeys(reward for reward, _ in keys))
    strategies = list(dict.fromkeys(sorted(strategy for _, strategy in keys)))
    few = len(rewards) <= len(COLOURS) and len(strategies) <= len(DASHES)
    if few and len(set(keys)) == len(keys):
        return [Pen(COLOURS[rewards.index(r)], DASHES[strategies.index(s)]) for r, s in keys]
    return [
        Pen(COLOURS[place % len(COLOURS)], DASHES[place // len(COLOURS) % len(DASHES)])
        for place in range(len(keys))
    ]


def rows_of(figure: "Canvas", names: Sequence[str]) -> "Axes":
    """Axes with one named row each, the first on top."""
    axes: Axes = figure.subplots()
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    return axes
