"""Pearson's correlation by hand, missing metrics, and pots."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tersely.analysis.correlation import (
    Correlation,
    Row,
    correlation,
    correlations,
    pearson,
    pooled_correlations,
)

columns = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=30)


def rows(*values: tuple[float | None, float | None]) -> list[Row]:
    return [{"coverage": x, "clarity": y} for x, y in values]


def test_pearson_by_hand() -> None:
    """Deviations -1, 0, 1 and -1, 1, 0: their products sum to 1, their squares to 2 each: 1 / 2."""
    assert 0.5 == pytest.approx(pearson([1, 2, 3], [1, 3, 2]))


def test_pearson_is_scipys() -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 50)).tolist()
    assert stats.pearsonr(x, y).statistic == pytest.approx(pearson(x, y))


@pytest.mark.parametrize(("x", "y"), [([], []), ([1.0], [2.0]), ([1, 1, 1], [1, 2, 3])])
def test_where_there_is_none(x: list[float], y: list[float]) -> None:
    assert pearson(x, y) is None
    assert pearson(y, x) is None


@given(columns)
def test_between_minus_1_and_1_and_the_same_both_ways(pairs: list[tuple[float, float]]) -> None:
    x, y = [x for x, _ in pairs], [y for _, y in pairs]
    r = pearson(x, y)
    assert r == pearson(y, x)
    if r is not None:
        assert -1 <= r <= 1
        assert -r == pytest.approx(pearson([-value for value in x], y), abs=1e-12)


def test_a_missing_metric_leaves_its_pair_alone() -> None:
    """The fourth and fifth summary lack one of the two; the first three are the case by hand."""
    found = correlation(rows((1, 1), (2, 3), (3, 2), (9, None), (None, 9)), "coverage", "clarity")
    assert (pytest.approx(0.5), 3, 2) == (found.r, found.n, found.missing)


def test_every_two_metrics_once() -> None:
    some: list[Row] = [{"x": 1.0, "y": 2.0}, {"x": 2.0, "y": 4.0, "z": 1.0}]
    found = correlations(some, ["x", "y", "z"])
    assert [("x", "y"), ("x", "z"), ("y", "z")] == list(found)
    assert (pytest.approx(1.0), 2, 0) == (found["x", "y"].r, 2, found["x", "y"].missing)
    assert Correlation(None, 1, 1) == found["x", "z"]


def test_runs_of_one_key_are_pooled() -> None:
    """Inside either run coverage falls as clarity rises (r = -1). In one pot, over 1, 2, 5, 6 and
    2, 1, 6, 5 with mean 3.5: (-2.5)(-1.5) + (-1.5)(-2.5) + (1.5)(2.5) + (2.5)(1.5) = 15, over
    2 (2.5^2 + 1.5^2) = 17."""
    key = ("Qwen2.5-0.5B", "staged")
    first, second = rows((1, 2), (2, 1)), rows((5, 6), (6, 5))
    other = ("Qwen2.5-0.5B", "joint")
    found = pooled_correlations(
        [(key, first), (other, first), (key, second)], ["coverage", "clarity"]
    )
    assert 15 / 17 == pytest.approx(found[key]["coverage", "clarity"].r)
    assert 4 == found[key]["coverage", "clarity"].n
    assert -1.0 == pytest.approx(found[other]["coverage", "clarity"].r)
