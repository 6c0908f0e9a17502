"""Advantages, worked by hand."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tersely.errors import ConfigError
from tersely.objective.advantages import ZScoreConfig, zscore

rewards = st.floats(-8, 8)
groups = st.lists(rewards, min_size=2, max_size=16)


@pytest.mark.parametrize(
    ("rewards", "expected"),
    [
        # mean 2, deviations -1 0 1, population std sqrt(2/3) = 0.816497
        ([1.0, 2.0, 3.0], [-1.224745, 0.0, 1.224745]),
        # mean 0.75, deviations -0.75 and 0.25, std sqrt((0.5625 + 3 * 0.0625) / 4) = 0.433013
        ([0.0, 1.0, 1.0, 1.0], [-1.732051, 0.577350, 0.577350, 0.577350]),
        # quality 0.2 0.3 0.4 0.5 minus |40 60 66 110 - 64| / 64; mean 0.053125, std 0.254737
        ([-0.175, 0.2375, 0.36875, -0.21875], [-0.895520, 0.723777, 1.239007, -1.067264]),
        # quality 0.1 0.1 0.4 0.2 minus |58 64 70 128 - 64| / 64; mean -0.096875, std 0.420205
        ([0.00625, 0.1, 0.30625, -0.8], [0.245416, 0.468521, 0.959353, -1.673290]),
    ],
)
def test_rewards_are_standardised_with_the_population_deviation(
    rewards: list[float], expected: list[float]
) -> None:
    assert expected == pytest.approx(zscore(rewards), abs=1e-6)


def test_a_spread_below_epsilon_is_not_blown_up() -> None:
    """0 and 2e-7 have the deviation 1e-7, below 1e-6: (0 - 1e-7) / 1e-6 = -0.1."""
    assert [-0.1, 0.1] == pytest.approx(zscore([0.0, 2e-7]))
    assert [-1.0, 1.0] == pytest.approx(zscore([0.0, 2e-7], epsilon=1e-9))


@given(rewards, st.integers(2, 16))
def test_a_group_of_equal_rewards_teaches_exactly_nothing(reward: float, size: int) -> None:
    """Not 5e-11 from a rounded mean: Adam scales up whatever is left."""
    assert [0.0] * size == zscore([reward] * size)


@given(groups)
def test_mean_is_0_and_deviation_1_where_rewards_differ(group: Sequence[float]) -> None:
    advantages = zscore(group)
    size = len(group)
    assert 0 == pytest.approx(sum(advantages) / size, abs=1e-6)
    square = sum(advantage**2 for advantage in advantages) / size
    assert square <= 1 + 1e-6
    if max(group) - min(group) > 1e-3:
        assert 1 == pytest.approx(square)


@given(groups, st.floats(0.1, 10), rewards)
def test_scale_and_offset_of_rewards_do_not_matter(
    group: Sequence[float], scale: float, offset: float
) -> None:
    """So a weight on the whole reward changes nothing, as long as rewards differ at all."""
    if max(group) - min(group) > 1e-3:
        moved = [scale * reward + offset for reward in group]
        assert zscore(group) == pytest.approx(zscore(moved), abs=1e-6)


def test_the_config_builds_the_estimator_with_its_epsilon() -> None:
    assert [-0.5, 0.5] == pytest.approx(ZScoreConfig(epsilon=2.0).build()([0.0, 2.0]))


@pytest.mark.parametrize("epsilon", [0.0, -1e-6, float("nan"), float("inf")])
def test_epsilon_must_be_positive(epsilon: float) -> None:
    with pytest.raises(ConfigError, match=r"above 0, got .*; the least is 1e-12.* the most 1000"):
        ZScoreConfig(epsilon=epsilon)
