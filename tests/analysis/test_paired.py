"""The paired tests by hand, against SciPy, and on data that shows nothing."""

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tersely.analysis.paired import (
    DRAWS,
    Interval,
    Pairs,
    effect_size,
    mean_interval,
    pair,
    paired_t,
    sign_flips,
    wilcoxon,
)
from tersely.analysis.undecided import Undecided

FOUR = pair(
    {"w": 0.8, "x": 0.6, "y": 0.9, "z": 0.7},
    {"w": 0.5, "x": 0.5, "y": 0.5, "z": 0.3},
)
"""Differences 0.3, 0.1, 0.4, 0.4: mean 0.3; squares about it 0, 0.04, 0.01, 0.01, so the
variance is 0.06 / 3 = 0.02 and the standard deviation 0.1414."""

Scores = dict[str, float | None]
scores = st.lists(
    st.tuples(*[st.none() | st.integers(0, 200).map(lambda k: k / 50)] * 2), max_size=40
).map(lambda rows: tuple({f"e{i}": row[side] for i, row in enumerate(rows)} for side in (0, 1)))
"""Two mappings, as composites over rounds are: multiples of 0.02 from 0 to 4, some missing."""


def of(differences: list[float]) -> Pairs:
    """Pairs with these differences."""
    a = {f"e{i:03}": d for i, d in enumerate(differences)}
    return pair(a, dict.fromkeys(a, 0.0))


def judged(n: int = 200) -> Pairs:
    """n pairs like the study's: differences 0.10 on average, with a deviation of 0.74."""
    rng = np.random.default_rng(5)
    return of([float(d) for d in rng.normal(0.10, 0.74, n)])


def test_missing_scores_are_paired_out_and_counted() -> None:
    """`q` has no score in `a`, `r` none in `b`, `s` is unknown to `b`, `t` is missing in both."""
    a: Scores = {"p": 1.0, "q": None, "r": 0.5, "s": 0.25, "t": None}
    b: Scores = {"t": None, "r": None, "q": 0.5, "p": 0.75}
    pairs = pair(a, b)
    assert (("p",), 4) == (pairs.ids, pairs.missing)
    assert [0.25] == pairs.differences.tolist()


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_a_score_that_is_not_finite_is_an_error(score: float) -> None:
    with pytest.raises(ValueError, match="'p'"):
        pair({"p": 1.0}, {"p": score})


def test_rounding_noise_is_no_difference() -> None:
    """0.1 + 0.2 is not 0.3 in binary, and 0.7 - 0.5 not 0.6 - 0.4."""
    pairs = pair({"p": 0.1 + 0.2, "q": 0.7, "r": 0.6}, {"p": 0.3, "q": 0.5, "r": 0.4})
    noise, one, other = pairs.differences
    assert 0.0 == noise
    assert one == other


def test_paired_t_by_hand() -> None:
    """t = 0.3 / (0.1414 / 2) = 3 sqrt(2), with 3 degrees of freedom."""
    two_sided, one_sided = paired_t(FOUR), paired_t(FOUR, "greater")
    assert 3 * math.sqrt(2) == pytest.approx(two_sided.statistic)
    assert 2 * stats.t.sf(3 * math.sqrt(2), 3) == pytest.approx(two_sided.p)
    assert two_sided.p / 2 == pytest.approx(one_sided.p)
    assert ("paired t, two-sided", 4) == (two_sided.name, two_sided.n)
    assert "paired t, one-sided (a above b)" == one_sided.name


def test_paired_t_is_scipys() -> None:
    pairs = judged()
    both, one = (stats.ttest_rel(pairs.a, pairs.b, alternative=x) for x in ("two-sided", "greater"))
    assert both.statistic == pytest.approx(paired_t(pairs).statistic)
    assert both.pvalue == pytest.approx(paired_t(pairs).p)
    assert one.pvalue == pytest.approx(paired_t(pairs, "greater").p)


def test_wilcoxon_by_hand() -> None:
    """Ranks 1, 2, 3 are gains and 4, 5 losses: sums 6 and 9. Of the 32 patterns of signs 13 have
    gains of 6 or less (1 of 0, 1 of 1, 1 of 2, 2 of 3, 2 of 4, 3 of 5, 3 of 6): p = 26 / 32.
    The difference of 0 does not count."""
    test = wilcoxon(of([0.1, 0.2, 0.3, -0.4, -0.5, 0.0]))
    assert (6.0, 26 / 32, 5) == (test.statistic, test.p, test.n)


def test_wilcoxon_sees_ties_through_rounding_noise() -> None:
    """|0.2|, |0.2|, |0.2|, |-0.2|, of which binary makes three values: each has rank 2.5, so the
    losses sum to 2.5; 10 of 16 patterns are as uneven or more."""
    test = wilcoxon(
        pair({"p": 0.7, "q": 0.6, "r": 0.3, "s": 0.9}, {"p": 0.5, "q": 0.4, "r": 0.1, "s": 1.1})
    )
    assert (2.5, 10 / 16) == (test.statistic, test.p)


def test_wilcoxon_is_scipys() -> None:
    pairs = judged()
    expected = stats.wilcoxon(pairs.a, pairs.b)
    assert expected.statistic == wilcoxon(pairs).statistic
    assert expected.pvalue == pytest.approx(wilcoxon(pairs).p)


def test_sign_flips_by_hand() -> None:
    """+-1 +-2 +-1 is 4, 2, 2, 0 and the same below 0: 6 of 8 are as far from 0 as 1 + 2 - 1."""
    assert 6 / 8 == sign_flips(of([1.0, 2.0, -1.0]), seed=0).p
    assert 2 / 8 == sign_flips(of([1.0, 2.0, 3.0]), seed=0).p


def test_sign_flips_drawn_agree_with_all_of_them() -> None:
    """12 pairs have 4,096 patterns; 3,000 of them are drawn, or all counted, as SciPy does."""
    pairs = judged(12)
    every = sign_flips(pairs, seed=0, draws=4096).p
    drawn = sign_flips(pairs, seed=0, draws=3000).p
    expected = stats.permutation_test(
        (pairs.differences,), np.mean, permutation_type="samples", n_resamples=np.inf
    ).pvalue
    assert expected == pytest.approx(every)
    assert every == pytest.approx(drawn, abs=4 * math.sqrt(every * (1 - every) / 3000))
    assert every != drawn


def test_sign_flips_never_say_0() -> None:
    """The pattern at hand is one of those that can come up: 1 / (1 + draws) is the least."""
    assert 1 / (1 + DRAWS) == sign_flips(of([1.0 + 0.01 * k for k in range(60)]), seed=1).p


def test_effect_size_by_hand() -> None:
    """d_z = 0.3 / 0.1414 = 2.1213; J(3) = G(1.5) / (sqrt(1.5) G(1)) = 0.8862 / 1.2247 = 0.7236,
    near Hedges' rule of thumb 1 - 3 / (4 x 3 - 1) = 0.7273."""
    effect = effect_size(FOUR)
    assert 2.1213 == pytest.approx(effect.d_z, abs=5e-5)
    assert 2.1213 * 0.7236 == pytest.approx(effect.corrected, abs=1e-4)


def test_effect_size_is_unbiased_once_corrected() -> None:
    """True d_z 0.5, 8 pairs, 20,000 samples: its mean is 0.5 / J(7) = 0.563, corrected 0.500
    (standard error 0.003)."""
    samples = np.random.default_rng(3).normal(0.5, 1.0, (20_000, 8))
    of_eight = effect_size(of([1.0, 2.0, 4.0, 3.0, 5.0, 1.0, 2.0, 7.0]))
    shrink = of_eight.corrected / of_eight.d_z
    d_z = float((samples.mean(axis=1) / samples.std(axis=1, ddof=1)).mean())
    assert 0.5 == pytest.approx(shrink * d_z, abs=0.009)
    assert d_z > 0.55


def test_the_interval_is_scipys_and_repeats() -> None:
    pairs = judged()
    expected = stats.bootstrap(
        (pairs.differences,),
        np.mean,
        n_resamples=DRAWS,
        batch=500,
        method="BCa",
        rng=np.random.default_rng(9),
    ).confidence_interval
    assert Interval(expected.low, expected.high, 0.95) == mean_interval(pairs, seed=9)
    assert mean_interval(pairs, seed=9) != mean_interval(pairs, seed=10)


@pytest.mark.parametrize(("n", "coverage"), [(30, 0.910), (200, 0.953)])
def test_the_interval_covers_the_mean(n: int, coverage: float) -> None:
    """1,000 samples of skewed differences (exponential, mean 1) and how many intervals of 95 %
    have that mean in them, as measured (standard error 0.007 to 0.009). With 30 pairs a bootstrap
    interval is too short, as is known; the study's 200 are enough."""
    samples = np.random.default_rng(11).exponential(1.0, (1000, n))
    covered = 0
    for sample in samples:
        interval = mean_interval(of(sample.tolist()), seed=0, draws=600)
        assert isinstance(interval, Interval)
        covered += interval.low <= 1.0 <= interval.high
    assert coverage == pytest.approx(covered / len(samples), abs=0.01)


@pytest.mark.parametrize("n", [0, 1, 2, 200])
def test_identical_runs_differ_in_nothing(n: int) -> None:
    run = {f"e{i}": 0.02 * i for i in range(n)}
    pairs = pair(run, run)
    for test in (
        paired_t(pairs),
        paired_t(pairs, "greater"),
        wilcoxon(pairs),
        sign_flips(pairs, 0),
    ):
        assert (0.0, 1.0) == (test.statistic, test.p)
    assert 0.0 == pairs.mean_difference == pairs.difference_sd == effect_size(pairs).corrected
    interval = mean_interval(pairs, seed=0)
    assert isinstance(interval, Undecided) if n < 2 else Interval(0.0, 0.0) == interval


def test_one_pair_shows_nothing() -> None:
    pairs = of([0.5])
    assert 1.0 == paired_t(pairs).p == wilcoxon(pairs).p == sign_flips(pairs, 0).p
    assert isinstance(mean_interval(pairs, seed=0), Undecided)


def test_equal_differences_have_no_spread() -> None:
    """All 0.5 apart: t is infinite, and two such pairs are still half of four patterns."""
    pairs = of([-0.5, -0.5])
    assert (-math.inf, 0.0) == (paired_t(pairs).statistic, paired_t(pairs).p)
    assert -math.inf == effect_size(pairs).d_z
    assert Interval(-0.5, -0.5) == mean_interval(pairs, seed=0)
    assert 0.5 == sign_flips(pairs, seed=0).p == wilcoxon(pairs).p


@given(scores, st.randoms(use_true_random=False))
def test_the_order_of_examples_does_not_matter(
    both: tuple[Scores, Scores], shuffle: random.Random
) -> None:
    a, b = both
    ids = list(a)
    shuffle.shuffle(ids)
    mixed = pair({id: a[id] for id in ids}, b)
    pairs = pair(a, b)
    assert paired_t(pairs) == paired_t(mixed)
    assert sign_flips(pairs, seed=1, draws=200) == sign_flips(mixed, seed=1, draws=200)
    assert mean_interval(pairs, seed=1, draws=200) == mean_interval(mixed, seed=1, draws=200)


@given(scores)
def test_sides_may_be_swapped(both: tuple[Scores, Scores]) -> None:
    """What was ahead is behind, with the same p; the one-sided p's are each other's rest."""
    a, b = both
    there, back = pair(a, b), pair(b, a)
    assert there.missing == back.missing
    assert paired_t(there).statistic == pytest.approx(-paired_t(back).statistic, abs=1e-12)
    assert paired_t(there).p == pytest.approx(paired_t(back).p)
    assert wilcoxon(there) == wilcoxon(back)
    assert sign_flips(there, seed=2, draws=500).p == sign_flips(back, seed=2, draws=500).p
    if there.differences.any() and len(there) > 1:
        one_sided = paired_t(there, "greater").p + paired_t(back, "greater").p
        assert 1.0 == pytest.approx(one_sided)


@given(scores, st.sampled_from([0.25, 2.0, 100.0]))
def test_units_do_not_matter(both: tuple[Scores, Scores], unit: float) -> None:
    """A mean instead of a sum of four metrics changes no p-value."""
    plain = pair(*both)
    scaled = pair(*({id: x if x is None else unit * x for id, x in s.items()} for s in both))
    assert paired_t(plain).p == pytest.approx(paired_t(scaled).p)
    assert wilcoxon(plain) == wilcoxon(scaled)
    assert sign_flips(plain, seed=3, draws=500).p == sign_flips(scaled, seed=3, draws=500).p
    assert effect_size(plain).d_z == pytest.approx(effect_size(scaled).d_z)


@given(scores)
def test_nothing_is_ever_not_a_number(both: tuple[Scores, Scores]) -> None:
    """Warnings are errors in these tests, so there are none either."""
    pairs = pair(*both)
    for test in (paired_t(pairs), wilcoxon(pairs), sign_flips(pairs, 0, draws=100)):
        assert 0 <= test.p <= 1
        assert not math.isnan(test.statistic)
    interval = mean_interval(pairs, seed=0, draws=100)
    if isinstance(interval, Interval):
        assert interval.low <= interval.high
