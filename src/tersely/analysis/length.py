"""Scores and lengths: what is left of a difference when neither side may win by length."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from tersely.analysis.paired import Interval, Pairs, ratio
from tersely.analysis.undecided import Undecided
from tersely.evaluation.lengths import TOLERANCE


@dataclass(frozen=True)
class EqualLength:
    """The score difference of two configurations at the same length."""

    difference: float
    """`a - b` where the two summaries of an example are equally long."""
    standard_error: float
    statistic: float
    p: float
    """Two-sided."""
    interval: Interval
    per_token: float
    """By how much the score difference grows for each token that `a` is longer."""
    n: int
    extrapolated: bool
    """No pair is equally long, and all differ to the same side: `difference` is where the line
    goes beyond the data."""


def at_equal_length(
    pairs: Pairs,
    lengths_a: Mapping[str, int],
    lengths_b: Mapping[str, int],
    confidence: float = 0.95,
) -> EqualLength | Undecided:
    """`d_i = difference + per_token (L_a,i - L_b,i) + e_i` by least squares; lengths in tokens.

    Standard errors are HC3 (MacKinnon and White, 1985, "Some Heteroskedasticity-Consistent
    Covariance Matrix Estimators with Improved Finite Sample Properties"), because summaries far
    from equal length scatter otherwise than near ones; t with n - 2 degrees of freedom. The line
    is an assumption: a score that rises up to a length and falls after it does not follow it.

    Raises KeyError if an example of `pairs` has no length.
    """
    d, n = pairs.differences, len(pairs)
    longer = np.array([lengths_a[id] - lengths_b[id] for id in pairs.ids], dtype=np.float64)
    if n < 3:
        return Undecided(f"{n} pairs do not show how a score follows length; give three or more")
    if np.ptp(longer) == 0:
        return Undecided(
            f"in every pair the lengths differ by {longer[0]:.0f} tokens, so nothing shows how "
            "the score follows length"
        )
    centred = longer - longer.mean()
    spread = np.square(centred).sum()
    leverage = 1 / n + centred**2 / spread
    if leverage.max() > 1 - 1e-9:
        return Undecided("one pair alone differs in length from the others and sets the slope")
    per_token = float(centred @ d / spread)
    weights = 1 / n - longer.mean() * centred / spread  # of each d_i in the difference
    difference = float(weights @ d)
    left = d - difference - per_token * longer
    error = float(np.sqrt(np.square(weights * left / (1 - leverage)).sum()))
    noise = 1e-12 * float(np.abs(d).max())
    difference = difference if abs(difference) > noise else 0.0
    error = error if error > noise else 0.0
    margin = float(stats.t.isf((1 - confidence) / 2, n - 2)) * error
    statistic = ratio(difference, error)
    return EqualLength(
        difference=difference,
        standard_error=error,
        statistic=statistic,
        p=float(2 * stats.t.sf(abs(statistic), n - 2)),
        interval=Interval(difference - margin, difference + margin, confidence),
        per_token=per_token,
        n=n,
        extrapolated=bool(longer.min() > 0 or longer.max() < 0),
    )


@dataclass(frozen=True)
class Within:
    """The summaries of a configuration that keep to the target."""

    count: int
    of: int
    mean: float | None
    """Mean score of those that have one; None if there are none."""
    missing: int
    """On target, but without a score."""

    @property
    def share(self) -> float:
        """Of all summaries; 0 if there are none."""
        return self.count / self.of if self.of else 0.0


def within_budget(
    scores: Mapping[str, float | None],
    lengths: Mapping[str, int],
    target: int,
    tolerance: int = TOLERANCE,
) -> Within:
    """Summaries of `target - tolerance` to `target + tolerance` tokens (59 to 69 of 64 +- 5).

    Two configurations keep to the target on different examples, so their means are not of the
    same posts: a comparison has `on_target` for those where both do.
    """
    ids = on_target(lengths, target, tolerance)
    found = [score for id in ids if (score := scores.get(id)) is not None]
    mean = float(np.mean(found)) if found else None
    return Within(len(ids), len(lengths), mean, len(ids) - len(found))


def frontier(
    scores: Mapping[str, float | None], lengths: Mapping[str, int], target: int, furthest: int
) -> list[Within]:
    """For k = 0 to `furthest`: how many summaries have `|length - target| <= k`, and their mean
    score. A configuration is better than another where its line is above and to the left."""
    return [within_budget(scores, lengths, target, k) for k in range(furthest + 1)]


def on_target(lengths: Mapping[str, int], target: int, tolerance: int) -> set[str]:
    return {id for id, length in lengths.items() if abs(length - target) <= tolerance}
