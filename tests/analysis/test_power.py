"""The smallest difference that can be shown, against the study's numbers and by simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from tersely.analysis.power import power, smallest_beyond, smallest_effect
from tersely.analysis.undecided import Undecided


def test_the_studys_design() -> None:
    """Standard deviation 0.740, 200 examples. Roughly (1.960 + 0.842) x 0.740 / sqrt(200) = 0.1466
    and one-sided (1.645 + 0.842) x 0.0523 = 0.1301; with t instead of the normal a little more."""
    assert 0.1473 == pytest.approx(smallest_effect(0.740, 200), abs=5e-5)
    assert 0.1306 == pytest.approx(smallest_effect(0.740, 200, alternative="greater"), abs=5e-5)


@pytest.mark.parametrize("n", [2, 5, 40])
def test_that_difference_is_found_in_four_of_five_samples(n: int) -> None:
    """20,000 samples of n pairs with SciPy's t-test; standard error 0.003."""
    effect = smallest_effect(2.0, n)
    assert isinstance(effect, float)
    samples = np.random.default_rng(4).normal(effect, 2.0, (20_000, n))
    found = np.mean(stats.ttest_1samp(samples, 0.0, axis=1).pvalue <= 0.05)
    assert 0.8 == pytest.approx(float(found), abs=0.01)


def test_without_an_effect_power_is_the_level() -> None:
    assert 0.05 == pytest.approx(power(0.0, 1.0, 20, 0.05, "two-sided"))
    assert 0.01 == pytest.approx(power(0.0, 1.0, 20, 0.01, "greater"))


def test_more_examples_show_smaller_differences() -> None:
    effects = [smallest_effect(1.0, n) for n in (2, 3, 5, 10, 100, 1000, 14_000)]
    assert effects == sorted(effects, reverse=True)  # type: ignore[type-var]


def test_it_is_in_the_units_of_the_spread() -> None:
    in_sum, in_mean = smallest_effect(0.8, 30), smallest_effect(0.2, 30)
    assert isinstance(in_sum, float)
    assert in_sum / 4 == pytest.approx(in_mean)


def test_what_cannot_be_asked() -> None:
    assert isinstance(smallest_effect(1.0, 1), Undecided)
    assert 0.0 == smallest_effect(0.0, 10)


@pytest.mark.parametrize("n", [2, 5, 200])
def test_a_critical_value_of_t_gives_what_t_shows(n: int) -> None:
    """sd 0.74 is a standard error of 0.74 / sqrt(n)."""
    expected = smallest_effect(0.74, n)
    found = smallest_beyond(0.74 / math.sqrt(n), float(stats.t.isf(0.025, n - 1)))
    assert expected == pytest.approx(found)
    assert 0.0 == smallest_beyond(0.0, 2.0)
