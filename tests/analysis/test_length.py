"""Scores at equal length: the regression by hand, what it takes away, and the budget."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tersely.analysis.length import (
    EqualLength,
    Within,
    at_equal_length,
    frontier,
    within_budget,
)
from tersely.analysis.paired import Floats, Pairs, paired_t
from tersely.analysis.undecided import Undecided

SCORES: dict[str, float | None] = {"p": 2.0, "q": 3.0, "r": 4.0, "s": None, "t": 1.0}
LENGTHS = {"p": 59, "q": 69, "r": 58, "s": 64, "t": 70}
"""59 to 69 tokens are within 5 of 64: `p`, `q` and `s`."""


def at(differences: Floats, longer: Floats) -> EqualLength | Undecided:
    """`a` has these scores above `b`, with summaries longer by so many tokens."""
    ids = tuple(map(str, range(len(differences))))
    pairs = Pairs(ids, np.asarray(differences, dtype=float), np.zeros(len(ids)))
    lengths_b = dict.fromkeys(ids, 64)
    lengths_a = {id: 64 + int(more) for id, more in zip(ids, longer, strict=True)}
    return at_equal_length(pairs, lengths_a, lengths_b)


def test_equal_length_by_hand() -> None:
    """Longer by 0, 1, 2, 3, better by 1, 1, 3, 3.
    Slope (-1.5 x 1 - 0.5 x 1 + 0.5 x 3 + 1.5 x 3) / 5 = 0.8,
    so 2 - 0.8 x 1.5 = 0.8 at equal length.
    Left: 0.2, -0.6, 0.6, -0.2; leverages 0.7, 0.3, 0.3, 0.7; a difference's weight in the 0.8 is
    1/4 - 1.5 (x - 1.5) / 5 = 0.7, 0.4, 0.1, -0.2. HC3: the sum of (0.7 x 0.2 / 0.3)^2,
    (0.4 x 0.6 / 0.7)^2, (0.1 x 0.6 / 0.7)^2, (0.2 x 0.2 / 0.3)^2 is 0.36045, its root 0.60038."""
    found = at(np.array([1.0, 1.0, 3.0, 3.0]), np.array([0, 1, 2, 3]))
    assert isinstance(found, EqualLength)
    assert (0.8, 0.8) == pytest.approx((found.difference, found.per_token))
    assert 0.60038 == pytest.approx(found.standard_error, abs=5e-6)
    assert 0.8 / 0.60038 == pytest.approx(found.statistic, abs=5e-5)
    # t with 2 degrees of freedom: p = 1 - t / sqrt(2 + t^2), and 4.3027 at 5 %
    assert 1 - found.statistic / math.sqrt(2 + found.statistic**2) == pytest.approx(found.p)
    assert 0.8 - 4.3027 * 0.60038 == pytest.approx(found.interval.low, abs=1e-4)
    assert not found.extrapolated


def test_hc3_in_matrices() -> None:
    """`(X'X)^-1 X' diag(e^2 / (1 - h)^2) X (X'X)^-1`, written out, on 40 pairs."""
    rng = np.random.default_rng(1)
    longer = rng.integers(-20, 40, 40)
    d = 0.1 + 0.01 * longer + rng.normal(0, 0.1 + 0.01 * np.abs(longer))
    X = np.column_stack([np.ones(40), longer])
    inverse = np.linalg.inv(X.T @ X)
    coefficients = inverse @ X.T @ d
    leverage = np.diag(X @ inverse @ X.T)
    middle = X.T @ np.diag(((d - X @ coefficients) / (1 - leverage)) ** 2) @ X
    error = math.sqrt((inverse @ middle @ inverse)[0, 0])
    found = at(d, longer)
    assert isinstance(found, EqualLength)
    assert coefficients == pytest.approx([found.difference, found.per_token])
    assert error == pytest.approx(found.standard_error)


def test_a_difference_that_is_all_length_goes_away() -> None:
    """`a` is 20 +- 15 tokens longer and gains 0.01 a token, with scatter that grows with length;
    otherwise nothing differs. Of 1,000 such samples of 100 pairs, the paired t-test finds a
    difference in all and this one in 5 % (standard error 0.7 %)."""
    rng = np.random.default_rng(6)
    plain = equal = 0
    for _ in range(1000):
        longer = np.round(rng.normal(20, 15, 100))
        d = 0.01 * longer + rng.normal(0, 0.1 + 0.005 * np.abs(longer))
        found = at(d, longer)
        assert isinstance(found, EqualLength)
        equal += found.p <= 0.05
        ids = tuple(map(str, range(100)))
        plain += paired_t(Pairs(ids, d, np.zeros(100))).p <= 0.05
    assert plain >= 990
    assert 0.035 <= equal / 1000 <= 0.065


@pytest.mark.parametrize(
    ("longer", "extrapolated"), [([5, 9, 30], True), ([-5, -9, -30], True), ([-1, 9, 30], False)]
)
def test_beyond_the_data_is_said(longer: list[int], extrapolated: bool) -> None:
    found = at(np.array([0.1, 0.3, 0.2]), np.array(longer))
    assert isinstance(found, EqualLength)
    assert extrapolated == found.extrapolated


@pytest.mark.parametrize(
    ("longer", "reason"),
    [([1, 2], "2 pairs"), ([7, 7, 7], "by 7 tokens"), ([0, 0, 0, 5], "one pair alone")],
)
def test_what_shows_nothing_about_length(longer: list[int], reason: str) -> None:
    found = at(np.linspace(0, 1, len(longer)), np.array(longer))
    assert isinstance(found, Undecided)
    assert reason in found.reason


def test_no_difference_is_none_at_equal_length() -> None:
    found = at(np.zeros(5), np.array([-2, 0, 1, 7, 3]))
    assert isinstance(found, EqualLength)
    assert (0.0, 0.0, 0.0, 1.0) == (
        found.difference,
        found.standard_error,
        found.statistic,
        found.p,
    )


def test_a_difference_that_is_only_length_to_the_digit() -> None:
    """0.1 a token and no scatter: what is left at equal length is rounding, and none."""
    longer = np.array([3, 6, 7, 11, 19])
    found = at(0.1 * longer, longer)
    assert isinstance(found, EqualLength)
    assert (0.0, 1.0) == (found.difference, found.p)
    assert 0.1 == pytest.approx(found.per_token)


def test_within_budget_by_hand() -> None:
    """Of `p`, `q` and `s` two have a score: (2 + 3) / 2."""
    found = within_budget(SCORES, LENGTHS, target=64)
    assert Within(count=3, of=5, mean=2.5, missing=1) == found
    assert 0.6 == found.share


def test_nothing_within_budget_has_no_mean() -> None:
    assert Within(0, 5, None, 0) == within_budget(SCORES, LENGTHS, target=200)
    assert 0.0 == within_budget({}, {}, target=64).share


def test_frontier_by_hand() -> None:
    """|length - 64| is 5, 5, 6, 0, 6: k = 0 to 4 has `s` alone, without a score; 5 adds `p` and
    `q`; 6 adds `r` and `t`, so (2 + 3 + 4 + 1) / 4."""
    found = frontier(SCORES, LENGTHS, target=64, furthest=6)
    assert [Within(1, 5, None, 1)] * 5 == found[:5]
    assert [Within(3, 5, 2.5, 1), Within(5, 5, 2.5, 1)] == found[5:]


@given(
    st.dictionaries(
        st.text(max_size=3), st.tuples(st.none() | st.floats(0, 4), st.integers(0, 200))
    )
)
def test_a_wider_budget_never_has_fewer_summaries(
    rows: dict[str, tuple[float | None, int]],
) -> None:
    scores = {id: score for id, (score, _) in rows.items()}
    lengths = {id: length for id, (_, length) in rows.items()}
    found = frontier(scores, lengths, target=64, furthest=136)
    counts = [within.count for within in found]
    assert sorted(counts) == counts
    assert len(rows) == counts[-1]
    assert sum(score is None for score in scores.values()) == found[-1].missing
