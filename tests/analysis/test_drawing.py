"""Pictures that stand on any page."""

import re

import numpy as np

from tersely.analysis.curve_figures import curve, running_median
from tersely.analysis.drawing import FAINT, INK, PAPER, Pen, Picture, canvas, finished, pens


def picture(name: str) -> Picture:
    with canvas(3, 2) as figure:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], label="a <b> $c$")
        axes.grid()
        axes.legend()
        return finished(figure, name)


def test_a_picture_on_a_page_has_the_page_s_colours_and_ids_of_its_own() -> None:
    """So that it is read in the dark, and two of them do not cut each other's lines."""
    on_page = picture("one").on_page
    for colour in (INK, FAINT, PAPER):
        assert colour not in on_page
    ids = set(re.findall(r'\bid="([^"]+)"', on_page))
    used = set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', on_page))
    assert ids and all(id.startswith("one-") for id in ids)
    assert {first or second for first, second in used} <= ids
    assert "http" not in on_page


def test_names_are_text_whatever_is_in_them() -> None:
    """No tag, no formula."""
    assert "a &lt;b&gt; $c$" in picture("one").on_page


def test_the_same_picture_is_the_same_file() -> None:
    """A report that is made again differs only where the runs do."""
    assert picture("one") == picture("one")


def test_a_colour_a_reward_and_a_dash_a_strategy() -> None:
    """While that tells all apart."""
    a, b, c = pens([("rouge", "joint"), ("rouge", "staged"), ("bleu", "joint")])
    assert a.colour == b.colour and a.dash == c.dash
    assert 3 == len({a, b, c})


def test_else_a_colour_each() -> None:
    """Learning rates of one reward."""
    found = pens([("rouge", "joint")] * 12)
    assert 12 == len(set(found))
    assert Pen(found[0].colour, "--") == found[10]


def test_a_curve_is_the_mean_of_the_seeds_that_have_the_step() -> None:
    """A run that took its first stage from another begins later."""
    steps, values = curve([{1: 1.0, 2: 3.0}, {2: 5.0}])
    assert ([1.0, 2.0], [1.0, 4.0]) == (steps.tolist(), values.tolist())
    assert [0, 0] == [len(part) for part in curve([])]


def test_a_long_curve_is_thinned() -> None:
    """1,000 steps are drawn with 200 points, first and last among them."""
    steps, _ = curve([{step: 0.0 for step in range(1, 1001)}])
    assert (200, 1.0, 1000.0) == (len(steps), steps[0], steps[-1])


def test_a_running_median_leaves_out_what_is_not_a_number() -> None:
    """Windows of up to 3: (1, 9) = 5, (1, 9) = 5, (9, 4) = 6.5, (4, 2) = 3, (4, 2) = 3."""
    found = running_median(np.array([1.0, 9.0, np.nan, 4.0, 2.0]), 1)
    assert [5.0, 5.0, 6.5, 3.0, 3.0] == found.tolist()
    assert np.isnan(running_median(np.array([np.nan]), 1)).all()
