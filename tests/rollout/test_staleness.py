"""Which weights sample which step."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tersely.errors import ConfigError
from tersely.rollout.staleness import Schedule


@pytest.mark.parametrize(
    ("schedule", "versions"),
    [
        # In turn, and one to many updates ahead.
        (Schedule(0), [0, 1, 2, 3, 4, 5, 6]),
        (Schedule(1), [0, 0, 1, 2, 3, 4, 5]),
        (Schedule(2), [0, 0, 0, 1, 2, 3, 4]),
        (Schedule(9), [0, 0, 0, 0, 0, 0, 0]),
        # New weights every third step: 0 to 2 updates old without sampling ahead, 1 to 3 with it.
        (Schedule(2, sync_every=3), [0, 0, 0, 3, 3, 3, 6]),
        (Schedule(3, sync_every=3), [0, 0, 0, 0, 3, 3, 3]),
        # Two updates a step: versions are even, and 1 update of staleness is of no use.
        (Schedule(1, updates_per_step=2), [0, 2, 4, 6, 8, 10, 12]),
        (Schedule(2, updates_per_step=2), [0, 0, 2, 4, 6, 8, 10]),
        (Schedule(3, updates_per_step=2), [0, 0, 2, 4, 6, 8, 10]),
        (Schedule(4, sync_every=2, updates_per_step=2), [0, 0, 0, 4, 4, 8, 8]),
    ],
)
def test_versions_by_hand(schedule: Schedule, versions: list[int]) -> None:
    """The oldest published version that is no more than `max_staleness` updates behind."""
    assert versions == [schedule.version_for(step) for step in range(7)]


@given(st.integers(0, 20), st.integers(1, 6), st.integers(1, 4), st.integers(0, 500))
def test_a_version_is_published_in_time_and_never_too_old(
    spare: int, sync_every: int, updates: int, step: int
) -> None:
    schedule = Schedule((sync_every - 1) * updates + spare, sync_every, updates)
    version = schedule.version_for(step)
    assert 0 <= schedule.version_at(step) - version <= schedule.max_staleness
    assert 0 == version % (sync_every * updates)
    assert version <= schedule.version_for(step + 1)


def test_weights_that_come_too_seldom_are_refused_with_both_ways_out() -> None:
    with pytest.raises(ConfigError, match=r"max_staleness=4, or 5 to sample beside") as caught:
        Schedule(1, sync_every=5)
    assert "rollout.sync_every=5" in str(caught.value)


@pytest.mark.parametrize(("staleness", "updates", "in_turn"), [(0, 1, True), (1, 1, False)])
def test_in_turn(staleness: int, updates: int, in_turn: bool) -> None:
    assert in_turn == Schedule(staleness, updates_per_step=updates).in_turn
    assert Schedule(1, updates_per_step=2).in_turn
