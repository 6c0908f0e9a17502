"""What a number of examples can show at all."""

from collections.abc import Callable

import numpy as np
from scipy import optimize, stats

from tersely.analysis.paired import Alternative
from tersely.analysis.undecided import Undecided


def power(effect: float, sd: float, n: int, alpha: float, alternative: Alternative) -> float:
    """How often a paired t-test of n pairs rejects at `alpha` if the mean difference is `effect`.

    t is then noncentral t with n - 1 degrees of freedom and noncentrality
    `effect / (sd / sqrt(n))`. Cohen, 1988, "Statistical Power Analysis", section 2.2. Needs
    n > 1 and sd > 0.
    """
    df, shift = n - 1, effect / sd * np.sqrt(n)
    if alternative == "greater":
        return float(stats.nct.sf(stats.t.isf(alpha, df), df, shift))
    limit = stats.t.isf(alpha / 2, df)
    # The other tail as its mirror image: SciPy's nct.cdf gives NaN for some large shifts.
    return float(stats.nct.sf(limit, df, shift) + stats.nct.sf(limit, df, -shift))


def smallest_effect(
    sd: float,
    n: int,
    at_power: float = 0.8,
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
) -> float | Undecided:
    """The smallest mean difference, in the units of `sd`, that n pairs show with `at_power`.

    `sd` is the standard deviation of the differences. 0 where they have none.
    """
    if n < 2:
        return Undecided(f"{n} pairs can show no difference, however large; give two or more")
    if sd == 0:
        return 0.0

    def at(shift: float) -> float:
        return power(shift / np.sqrt(n), 1.0, n, alpha, alternative)

    return _smallest_shift(at, at_power) * sd / float(np.sqrt(n))


def smallest_beyond(
    standard_error: float, critical: float, at_power: float = 0.8, alpha: float = 0.05
) -> float:
    """The smallest difference that is `critical` standard errors from 0 with `at_power`.

    For a statistic that is no t, but whose critical value at `alpha`, two-sided, lies between
    those of t: the degrees of freedom of the t with that critical value stand for its own, which
    is exact where it is a t. 0 where the standard error is.
    """
    if standard_error == 0:
        return 0.0
    df = optimize.brentq(lambda df: stats.t.isf(alpha / 2, df) - critical, 0.5, 1e7)

    def at(shift: float) -> float:
        return float(stats.nct.sf(critical, df, shift) + stats.nct.sf(critical, df, -shift))

    return _smallest_shift(at, at_power) * standard_error


def _smallest_shift(power_at: Callable[[float], float], at_power: float) -> float:
    """The noncentrality with which a test has `at_power`."""
    most = 1.0
    while power_at(most) < at_power:
        most *= 2
    return float(optimize.brentq(lambda shift: power_at(shift) - at_power, 0.0, most))
