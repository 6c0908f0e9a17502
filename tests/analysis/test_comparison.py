"""Two sides by every test, and a family of such comparisons."""

import pytest

from tersely.analysis.comparison import compare, family
from tersely.analysis.measures import MEASURES
from tersely.analysis.paired import Interval
from tersely.analysis.seeds import SeedTest
from tersely.analysis.sides import Side
from tersely.analysis.undecided import Undecided

ROUGE = MEASURES[2]


def side(name: str, *seeds: list[float | None], lengths: tuple[int, ...] = ()) -> Side:
    tables = tuple(
        {
            f"post-{i}": {"rouge_l": score, "length": lengths[i] if lengths else 64}
            for i, score in enumerate(scores)
        }
        for scores in seeds
    )
    return Side(name, tables, 64)


def test_one_seed_is_the_study_s_test() -> None:
    """d = 0.1, 0.2, 0.3: mean 0.2, sd 0.1, so t = 0.2 / (0.1 / sqrt(3)) = 3.4641 with 2 degrees
    of freedom, p = 1 - t / sqrt(t^2 + 2) = 1 - 3.4641 / 3.7417 = 0.0742."""
    found = compare(side("a", [0.4, 0.6, 0.8]), side("b", [0.3, 0.4, 0.5]), ROUGE)
    assert 0.2 == pytest.approx(found.difference)
    assert 3.4641 == pytest.approx(found.decides.statistic, abs=1e-4)
    assert 0.0742 == pytest.approx(found.p, abs=1e-4)
    assert found.p == found.paired.p
    assert isinstance(found.seeded, Undecided) and not found.over_seeds


def test_with_seeds_on_both_sides_the_test_is_over_both() -> None:
    """Means of seeds 0.4, 0.6 against 0.3, 0.3: the paired test sees no spread at all, and the
    seeds of `a` have all of it."""
    a = side("a", [0.4, 0.4, 0.4], [0.6, 0.6, 0.6])
    found = compare(a, side("b", [0.3, 0.3, 0.3], [0.3, 0.3, 0.3]), ROUGE)
    assert isinstance(found.seeded, SeedTest)
    assert 0.2 == pytest.approx(found.difference)
    assert 0.0 == found.paired.p
    assert found.p > 0.05
    assert 1.0 == pytest.approx(found.seeded.shares.seeds)


def test_missing_scores_are_paired_out_and_counted() -> None:
    """Of four posts one lacks a score here, another there, and a third is not everywhere."""
    a, b = side("a", [0.5, None, 0.7, 0.9]), side("b", [0.4, 0.2, None])
    found = compare(a, b, ROUGE)
    assert (1, 3) == (found.n, found.missing)
    assert 0.1 == pytest.approx(found.difference)


def test_a_post_that_one_seed_lacks_has_no_mean() -> None:
    """The mean of the other seeds would be another mean."""
    assert {"post-0": None, "post-1": 0.5} == side("a", [0.1, 0.4], [None, 0.6]).averaged(ROUGE)


def test_on_target_are_the_posts_where_both_sides_are() -> None:
    """69 is within 5 of 64, 70 is not: posts 0 and 1 on the left, 1 and 2 on the right."""
    a = side("a", [0.5, 0.6, 0.7], lengths=(64, 69, 70))
    b = side("b", [0.1, 0.2, 0.3], lengths=(58, 59, 64))
    found = compare(a, b, ROUGE).on_target
    assert 1 == found.n
    assert 0.4 == pytest.approx(found.difference)


def test_a_family_is_judged_together() -> None:
    """p = 0.0742 twice is 0.1484 each; one without pairs is no member."""
    one = compare(side("a", [0.4, 0.6, 0.8]), side("b", [0.3, 0.4, 0.5]), ROUGE)
    none = compare(side("a", [None]), side("b", [None]), ROUGE)
    first, nothing, second = family([one, none, one])
    assert first.adjusted and second.adjusted
    assert 0.1484 == pytest.approx(first.adjusted.adjusted, abs=1e-4)
    assert 0.1484 == pytest.approx(second.adjusted.adjusted, abs=1e-4)
    assert nothing.adjusted is None and not nothing.survives
    assert 0.025 == first.level


def test_the_interval_belongs_to_the_p() -> None:
    """d = 0.1, 0.3: mean 0.2, sd 0.1414, standard error 0.1, t = 2 with 1 degree of freedom, so
    p = 1 - 2 atan(2) / pi = 0.295, and 12.706 x 0.1 on both sides of 0.2 has 0 in it."""
    found = compare(side("a", [0.5, 0.8]), side("b", [0.4, 0.5]), ROUGE)
    assert 0.295 == pytest.approx(found.p, abs=1e-3)
    assert isinstance(found.interval, Interval) and isinstance(found.bootstrap, Interval)
    assert (-1.0706, 1.4706) == pytest.approx((found.interval.low, found.interval.high), abs=1e-4)
    assert found.bootstrap.low > 0
    assert isinstance(compare(side("a", [0.5]), side("b", [0.4]), ROUGE).interval, Undecided)
