"""Two configurations, each trained with several seeds: do the configurations differ?

A score is `mu_c + e + ce + s(c) + rest`: the configuration c, the example e, how c suits e, the
seed s of a run, and what is left. Seeds are nested in configurations (seed 1 of the one has
nothing to do with seed 1 of the other) and crossed with examples. Another training run would
come out elsewhere by s(c), which no number of examples averages away. A paired t-test of two
runs leaves it out, and so finds differences that the next seed does not have.

Runs that share a length stage share a part of s: a staged run begins where the length-only run
of its seed ends. Where that makes their means go together, the variance here is too large, and
the test finds less than it could; it is not used to find more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from tersely.analysis.paired import Floats, Interval, ratio
from tersely.analysis.power import smallest_beyond
from tersely.analysis.undecided import Undecided


@dataclass(frozen=True)
class SeededScores:
    """The examples that every run of both configurations has a score for."""

    ids: tuple[str, ...]
    """`[n]`, sorted."""
    a: Floats
    """`[S_a, n]`, one row a seed."""
    b: Floats
    """`[S_b, n]`"""
    missing: int = 0
    """Examples left out because the score of at least one run is missing."""


def by_seed(
    a: Sequence[Mapping[str, float | None]], b: Sequence[Mapping[str, float | None]]
) -> SeededScores:
    """Scores by example id, one mapping a run; None, or an id that a run lacks, is missing.

    Raises ValueError on a score that is not a finite number.
    """
    runs = [*a, *b]
    every = sorted(set().union(*runs))
    ids = [id for id in every if all(run.get(id) is not None for run in runs)]
    scores = np.array([[run[id] for id in ids] for run in runs], dtype=np.float64)
    scores = scores.reshape(len(runs), len(ids))
    if not np.isfinite(scores).all():
        at = ids[int(np.argwhere(~np.isfinite(scores))[0, 1])]
        raise ValueError(f"a score of example {at!r} is not a finite number")
    return SeededScores(tuple(ids), scores[: len(a)], scores[len(a) :], len(every) - len(ids))


@dataclass(frozen=True)
class Parts:
    """Estimates of the variance of the mean difference, and of parts of it; arrays of one shape."""

    n: int
    seeds: tuple[int, int]
    examples: Floats
    """From the spread of the examples' differences; has the rest in it."""
    runs_a: Floats
    """From the spread of the runs' means in `a`; has the rest in it."""
    runs_b: Floats
    rest: Floats

    @property
    def runs(self) -> Floats:
        """Both configurations'; has the rest in it."""
        return self.runs_a + self.runs_b

    @property
    def variance(self) -> Floats:
        """Of the mean difference: the rest is in both parts and counts once.

        Each part alone is too small on average, so a sum below either is one by chance.
        """
        return np.maximum(
            self.examples + self.runs - self.rest, np.maximum(self.examples, self.runs)
        )

    @property
    def seeds_df(self) -> Floats:
        """Degrees of freedom of `runs`, whose two terms may differ (Welch, 1947)."""
        fewer = [size - 1 for size in self.seeds]
        below = self.runs_a**2 / fewer[0] + self.runs_b**2 / fewer[1]
        with np.errstate(invalid="ignore"):
            df = self.runs**2 / below
        return np.where(below > 0, df, sum(fewer))

    def critical(self, level: float) -> Floats:
        """How many standard errors the mean difference has to be from 0 at `level`, two-sided."""
        half = level / 2
        of_examples: float = stats.t.isf(half, self.n - 1)
        if self.seeds[0] == self.seeds[1]:
            of_runs = self.runs * stats.t.isf(half, self.seeds_df)
        else:
            of_runs = self.runs_a * stats.t.isf(half, self.seeds[0] - 1)
            of_runs = of_runs + self.runs_b * stats.t.isf(half, self.seeds[1] - 1)
        with np.errstate(invalid="ignore"):
            weighted: Floats = (of_runs + (self.variance - self.runs) * of_examples) / self.variance
        return np.where(self.variance > 0, weighted, of_examples)


def variance_parts(a: Floats, b: Floats) -> Parts:
    """Of scores `[..., S_a, n]` and `[..., S_b, n]`, each with at least two seeds and examples.

    In mean squares, for S seeds a side: `2 / (n S) (MS_ce + MS_s - MS_rest)`, the denominator of
    a quasi-F (Clark, 1973, "The Language-as-Fixed-Effect Fallacy"; for this design Westfall,
    Kenny and Judd, 2014, "Statistical Power and Optimal Design in Experiments in Which Samples
    of Participants Respond to Samples of Stimuli"). Here each configuration has a term of its
    own for its seeds, because one may be trained less steadily than the other.
    """
    n, seeds = a.shape[-1], (a.shape[-2], b.shape[-2])
    examples = (a.mean(axis=-2) - b.mean(axis=-2)).var(axis=-1, ddof=1) / n
    runs, rest_squares = [], np.zeros(a.shape[:-2])
    for scores in (a, b):
        means = scores.mean(axis=-1)
        runs.append(means.var(axis=-1, ddof=1) / scores.shape[-2])
        left = scores - means[..., None] - scores.mean(axis=-2, keepdims=True)
        left += means.mean(axis=-1)[..., None, None]
        rest_squares = rest_squares + np.square(left).sum(axis=(-2, -1))
    rest = rest_squares / ((sum(seeds) - 2) * (n - 1)) * (1 / seeds[0] + 1 / seeds[1]) / n
    return Parts(n, seeds, examples, runs[0], runs[1], rest)


@dataclass(frozen=True)
class Shares:
    """What the variance of the mean difference is made of; they add up to 1, or are all 0."""

    examples: float
    """Less with more examples."""
    seeds: float
    """Less with more seeds, and only with them."""
    rest: float
    """Less with more of either."""


@dataclass(frozen=True)
class SeedTest:
    """Whether two configurations differ, over examples and seeds."""

    difference: float
    """Mean of `a` minus mean of `b`."""
    standard_error: float
    statistic: float
    """Standard errors that the difference is from 0."""
    p: float
    """Two-sided."""
    interval: Interval
    """Of the difference; 0 is outside where p is below 1 minus its confidence."""
    parts: Parts
    """What its variance is made of."""
    shares: Shares
    n: int
    seeds: tuple[int, int]

    def smallest(self, alpha: float = 0.05) -> float:
        """The smallest difference that so many examples and seeds show with 80 % power at
        `alpha`, if the standard error is what it is estimated to be."""
        critical = float(self.parts.critical(alpha))
        return smallest_beyond(self.standard_error, critical, alpha=alpha)


def seed_test(scores: SeededScores, confidence: float = 0.95) -> SeedTest | Undecided:
    """Examples and seeds as the two sources of variance that they are.

    The statistic's two parts have very different degrees of freedom, n - 1 and a few. With their
    usual combination (Satterthwaite, 1946) up to 8 % are rejected under the null at 5 %. So the
    critical value is the mean of the parts' own, weighted by their variances (Cochran and Cox,
    1957, "Experimental Designs"), and p is the level at which it is reached. With
    as many seeds on both sides the seeds' part has Welch's degrees of freedom, else each side
    its own. With examples as far apart as the study's, 1 to 3 % of simulated nulls are rejected
    at 5 % with two seeds a side, 3 to 4 % with three, 4 to 5 % with five. The most that any
    spread gave was 6.1 %, and 6.7 % with two seeds a side of which one's do not vary at all.
    """
    seeds, n = (len(scores.a), len(scores.b)), len(scores.ids)
    if min(seeds) < 2:
        return Undecided(
            f"{seeds[0]} and {seeds[1]} seeds: how far another seed would move a configuration "
            "can be seen from two seeds of each or more"
        )
    if n < 2:
        return Undecided(f"{n} examples have a score in every run; two or more are needed")
    parts = variance_parts(scores.a, scores.b)
    difference = float((scores.a.mean(axis=0) - scores.b.mean(axis=0)).mean())
    error = float(np.sqrt(parts.variance))
    largest = max(np.abs(scores.a).max(), np.abs(scores.b).max())
    if abs(difference) <= 1e-12 * largest:
        difference = 0.0  # what is left of equal means when they are summed in two orders
    if error <= 1e-12 * largest:
        error = 0.0
    margin = error * float(parts.critical(1 - confidence))
    return SeedTest(
        difference=difference,
        standard_error=error,
        statistic=ratio(difference, error),
        p=p_value(parts, abs(ratio(difference, error))),
        interval=Interval(difference - margin, difference + margin, confidence),
        parts=parts,
        shares=shares(parts) if error else Shares(0.0, 0.0, 0.0),
        n=n,
        seeds=seeds,
    )


def p_value(parts: Parts, statistic: float) -> float:
    """The level whose critical value is the statistic; 0 below 1e-100."""
    if statistic == 0:
        return 1.0

    def beyond(log_level: float) -> float:
        return float(parts.critical(float(np.exp(log_level)))) - statistic

    least = float(np.log(1e-100))  # SciPy's t.isf goes wrong further out
    if beyond(least) <= 0:
        return 0.0
    return float(np.exp(optimize.brentq(beyond, least, 0.0, xtol=1e-12)))


def shares(parts: Parts) -> Shares:
    """An estimate below 0 is 0."""
    rest = float(parts.rest)
    examples = max(float(parts.examples) - rest, 0.0)
    runs = max(float(parts.runs) - rest, 0.0)
    total = examples + runs + rest
    return Shares(examples / total, runs / total, rest / total)
