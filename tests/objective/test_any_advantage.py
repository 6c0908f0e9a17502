"""What holds of every choice of the group `advantage`, a new one included."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tersely.config import GROUPS

EVERY = pytest.mark.parametrize("choice", GROUPS["advantage"].choices)
groups = st.lists(st.floats(-8, 8), min_size=2, max_size=16)


@EVERY
@given(rewards=groups)
def test_there_is_a_finite_number_for_each_rollout(choice: str, rewards: list[float]) -> None:
    advantages = GROUPS["advantage"].choices[choice]().build()(rewards)
    assert len(rewards) == len(advantages)
    assert all(map(math.isfinite, advantages))


@EVERY
@given(reward=st.floats(-8, 8), size=st.integers(2, 16))
def test_equal_rewards_teach_exactly_nothing(choice: str, reward: float, size: int) -> None:
    """Adam scales up whatever is left."""
    assert [0.0] * size == GROUPS["advantage"].choices[choice]().build()([reward] * size)


@EVERY
@given(rewards=groups)
def test_a_higher_reward_never_has_a_lower_advantage(choice: str, rewards: list[float]) -> None:
    ordered = GROUPS["advantage"].choices[choice]().build()(sorted(rewards))
    assert sorted(ordered) == ordered
