"""What a number of examples can show at all."""

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

    def short_of_power(shift: float) -> float:
        return power(shift / np.sqrt(n), 1.0, n, alpha, alternative) - at_power

    most = 1.0
    while short_of_power(most) < 0:
        most *= 2
    return float(optimize.brentq(short_of_power, 0.0, most)) * sd / float(np.sqrt(n))
