"""Holm's procedure by hand, and what always holds of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tersely.analysis.family import holm

families = st.dictionaries(st.text(max_size=4), st.floats(0, 1), max_size=30)


def test_holm_by_hand() -> None:
    """In order 0.005 x 4 = 0.02, 0.01 x 3 = 0.03, 0.03 x 2 = 0.06, 0.04 x 1 = 0.04, which is not
    less than the one before: 0.06."""
    family = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert [0.03, 0.06, 0.06, 0.02] == pytest.approx([test.adjusted for test in family.values()])
    assert ["a", "d"] == [name for name, test in family.items() if test.survives]
    assert [0.01, 0.04, 0.03, 0.005] == [test.p for test in family.values()]


def test_one_comparison_is_judged_alone() -> None:
    assert 0.04 == holm({"a": 0.04})["a"].adjusted


def test_the_level_is_the_callers() -> None:
    assert holm({"a": 0.08}, alpha=0.1)["a"].survives


def test_no_adjusted_p_is_above_1() -> None:
    assert [1.0, 1.0] == [test.adjusted for test in holm({"a": 0.7, "b": 0.9}).values()]


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_a_p_that_is_none_is_an_error(p: float) -> None:
    with pytest.raises(ValueError, match="'odd'"):
        holm({"fine": 0.5, "odd": p})


@given(families)
def test_between_the_p_itself_and_bonferronis(p_values: dict[str, float]) -> None:
    for test in holm(p_values).values():
        assert test.p <= test.adjusted <= min(1.0, len(p_values) * test.p)


@given(families)
def test_a_smaller_p_never_has_a_larger_adjusted_one(p_values: dict[str, float]) -> None:
    adjusted = [test.adjusted for test in sorted(holm(p_values).values(), key=lambda test: test.p)]
    assert sorted(adjusted) == adjusted


@given(families)
def test_the_order_does_not_matter(p_values: dict[str, float]) -> None:
    assert holm(p_values) == holm(dict(reversed(p_values.items())))


@given(families, st.floats(0.001, 0.5))
def test_survivors_are_those_of_the_step_down_procedure(
    p_values: dict[str, float], alpha: float
) -> None:
    """Holm's own words: reject the smallest while p_(i) <= alpha / (m - i + 1). Away from the
    bound, where the two ways of writing it round apart."""
    rejected = set()
    ordered = sorted(p_values, key=p_values.__getitem__)
    for place, name in enumerate(ordered):
        bound = alpha / (len(ordered) - place)
        if abs(p_values[name] - bound) < 1e-9:
            return
        if p_values[name] > bound:
            break
        rejected.add(name)
    assert rejected == {name for name, test in holm(p_values, alpha).items() if test.survives}
