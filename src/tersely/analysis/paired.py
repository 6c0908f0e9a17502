"""Two configurations on the same examples: which scores better, and how sure that is.

Everything here takes each example as one draw and the two policies as fixed: it says whether
these two checkpoints differ, not whether their configurations do. See `seeds.py` for those.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from tersely.analysis.undecided import Undecided

Floats = npt.NDArray[np.float64]
Alternative = Literal["two-sided", "greater"]
"""`greater`: that `a` is above `b`, one-sided."""

DRAWS = 5_000
"""Resamples of a bootstrap, and sign flips where not all of them are counted."""


@dataclass(frozen=True)
class Interval:
    """Both ends belong to it."""

    low: float
    high: float
    confidence: float = 0.95


@dataclass(frozen=True)
class Pairs:
    """The examples that both configurations have a score for."""

    ids: tuple[str, ...]
    """`[n]`, sorted, so that results do not depend on the order of a table."""
    a: Floats
    """`[n]`"""
    b: Floats
    """`[n]`; the study's baseline, length-only, stands here."""
    missing: int = 0
    """Examples left out because one of the two scores, or both, are missing."""

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def differences(self) -> Floats:
        """`[n]`, `a - b` to 12 digits of the largest score.

        Scores are means over rounds, and 0.7 - 0.5 differs from 0.6 - 0.4 in the 17th digit:
        ranks would be given, and differences of identical scores tested, for nothing.
        """
        largest = max(np.abs(self.a).max(initial=0.0), np.abs(self.b).max(initial=0.0))
        if largest == 0:
            return np.zeros(len(self))
        digits = 11 - int(np.floor(np.log10(largest)))
        return np.asarray(np.round(self.a - self.b, digits) + 0.0)  # no -0.0

    @property
    def mean_difference(self) -> float:
        """The mean of `a - b`; 0 without pairs."""
        return float(self.differences.mean()) if len(self) else 0.0

    @property
    def difference_sd(self) -> float:
        """The sample's standard deviation of `a - b`; 0 with fewer than two pairs."""
        d = self.differences
        return float(d.std(ddof=1)) if len(d) > 1 and np.ptp(d) > 0 else 0.0


def pair(a: Mapping[str, float | None], b: Mapping[str, float | None]) -> Pairs:
    """Scores by example id, paired; None, or an id that only one side has, is missing.

    Raises ValueError on a score that is not a finite number: a failure is never a score.
    """
    every = sorted(a.keys() | b.keys())
    ids = [id for id in every if a.get(id) is not None and b.get(id) is not None]
    pairs = Pairs(
        ids=tuple(ids),
        a=np.array([a[id] for id in ids], dtype=np.float64),
        b=np.array([b[id] for id in ids], dtype=np.float64),
        missing=len(every) - len(ids),
    )
    for id, x, y in zip(ids, pairs.a, pairs.b, strict=True):
        if not (np.isfinite(x) and np.isfinite(y)):
            raise ValueError(f"the scores of example {id!r} are {x} and {y}: not finite numbers")
    return pairs


@dataclass(frozen=True)
class PairedTest:
    """A test of the hypothesis that neither configuration scores better."""

    name: str
    statistic: float
    """Infinite where all differences are the same and not 0."""
    p: float
    n: int
    """Pairs that the test used."""


def paired_t(pairs: Pairs, alternative: Alternative = "two-sided") -> PairedTest:
    """`t = mean(d) / (sd(d) / sqrt(n))` with n - 1 degrees of freedom; two-sided as in the study.

    Student, 1908, "The Probable Error of a Mean". Fewer than two pairs, or none that differs,
    show nothing: t = 0, p = 1. Differences that are all the same have no spread: t is infinite
    and p = 0, whatever n is; `sign_flips` says how little two such pairs are.
    """
    names = {"two-sided": "paired t, two-sided", "greater": "paired t, one-sided (a above b)"}
    n, name = len(pairs), names[alternative]
    if n < 2 or not pairs.differences.any():
        return PairedTest(name, 0.0, 1.0, n)
    t = ratio(pairs.mean_difference, pairs.difference_sd) * np.sqrt(n)
    p = stats.t.sf(t, n - 1) if alternative == "greater" else 2 * stats.t.sf(abs(t), n - 1)
    return PairedTest(name, float(t), float(p), n)


def wilcoxon(pairs: Pairs) -> PairedTest:
    """The signed-rank test, two-sided: do gains outrank losses?

    Wilcoxon, 1945, "Individual Comparisons by Ranking Methods". Differences of 0 are left out,
    as he did; `statistic` is the smaller of the two rank sums. Exact for up to 50 pairs without
    ties and up to 13 with some, else by the normal approximation with the correction for ties
    (SciPy's `method="auto"`).
    """
    d = pairs.differences[pairs.differences != 0]
    if len(d) == 0:
        return PairedTest("Wilcoxon signed-rank", 0.0, 1.0, 0)
    found = stats.wilcoxon(d)
    return PairedTest("Wilcoxon signed-rank", float(found.statistic), float(found.pvalue), len(d))


def sign_flips(pairs: Pairs, seed: int, draws: int = DRAWS) -> PairedTest:
    """How often a mean difference at least as large comes up when each sign is a coin toss.

    Fisher, 1935, "The Design of Experiments", section 21. Two-sided; no assumption but that
    under the null `a` and `b` of an example could be exchanged. Exact where there are no more
    than `draws` patterns of signs; else `p = (1 + hits) / (1 + draws)`, which is never 0
    (Phipson and Smyth, 2010, "Permutation P-values Should Never Be Zero").
    """
    d = pairs.differences
    n, mean, name = len(d), pairs.mean_difference, "sign flips"
    if n < 2 or not d.any():
        return PairedTest(name, 0.0, 1.0, n)
    enough = abs(d.sum()) - 1e-9 * np.abs(d).max()  # a sum's rounding error is not a miss
    if 2**n <= draws:
        patterns = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
        sums = (2.0 * patterns - 1) @ d
        return PairedTest(name, mean, float(np.mean(np.abs(sums) >= enough)), n)
    rng = np.random.default_rng(seed)
    hits = 0
    for rows in batches(draws, n):
        signs = 2.0 * rng.integers(0, 2, (rows, n), dtype=np.int8) - 1
        hits += int(np.count_nonzero(np.abs(signs @ d) >= enough))
    return PairedTest(name, mean, (1 + hits) / (1 + draws), n)


def t_interval(pairs: Pairs, confidence: float = 0.95) -> Interval | Undecided:
    """The interval that belongs to `paired_t`, two-sided: 0 is in it where p is above 5 %.

    `mean(d) +- t(n - 1) sd(d) / sqrt(n)`. Student, 1908. Differences that are all the same have
    the interval of their one value; fewer than two pairs have none.
    """
    n = len(pairs)
    if n < 2:
        return Undecided(f"{n} pairs have no spread to make an interval of; give two or more")
    margin = float(stats.t.isf((1 - confidence) / 2, n - 1)) * pairs.difference_sd / np.sqrt(n)
    mean = pairs.mean_difference
    return Interval(float(mean - margin), float(mean + margin), confidence)


def mean_interval(
    pairs: Pairs, seed: int, confidence: float = 0.95, draws: int = DRAWS
) -> Interval | Undecided:
    """The bootstrap interval of the mean difference, bias-corrected and accelerated (BCa).

    Efron, 1987, "Better Bootstrap Confidence Intervals". Of 2,000 intervals of 95 % each, 95 %
    held the true mean with 200 pairs, 94 % with 50 and 91 to 92 % with 20, whether differences
    were normal or as skewed as an exponential. Differences that are all the same have
    the interval of their one value; fewer than two pairs have none.
    """
    d = pairs.differences
    if len(d) < 2:
        return Undecided(f"{len(d)} pairs have no spread to make an interval of; give two or more")
    if np.ptp(d) == 0:
        return Interval(float(d[0]), float(d[0]), confidence)
    found = stats.bootstrap(
        (d,),
        np.mean,
        n_resamples=draws,
        batch=next(batches(draws, len(d))),
        confidence_level=confidence,
        method="BCa",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(float(found.low), float(found.high), confidence)


@dataclass(frozen=True)
class EffectSize:
    """The mean difference in standard deviations of the differences."""

    d_z: float
    corrected: float
    """Without the bias upwards that `d_z` has in small samples."""


def effect_size(pairs: Pairs) -> EffectSize:
    """`d_z = mean(d) / sd(d)`, and `J d_z` with `J = G(m/2) / (sqrt(m/2) G((m-1)/2))`, m = n - 1.

    Cohen, 1988, "Statistical Power Analysis", section 2.3.5; Hedges, 1981, "Distribution Theory
    for Glass's Estimator of Effect Size", equation 6e, exact (G is the gamma function). J is 0
    for two pairs. Infinite where all differences are the same and not 0.
    """
    n = len(pairs)
    if n < 2 or not pairs.differences.any():
        return EffectSize(0.0, 0.0)
    d_z = ratio(pairs.mean_difference, pairs.difference_sd)
    if np.isinf(d_z):
        return EffectSize(d_z, d_z)
    half = (n - 1) / 2
    shrink = special.poch(half - 0.5, 0.5) / np.sqrt(half) if n > 2 else 0.0
    return EffectSize(d_z, float(d_z * shrink))


def ratio(value: float, spread: float) -> float:
    """`value / spread`; a value of 0 is 0 also without spread, others are then infinite."""
    if value == 0:
        return 0.0
    return value / spread if spread > 0 else float(np.copysign(np.inf, value))


def batches(draws: int, n: int) -> Iterator[int]:
    """Numbers of rows that add up to `draws`; rows of n numbers that fit the cache."""
    rows = max(1, 100_000 // n)
    for start in range(0, draws, rows):
        yield min(rows, draws - start)
