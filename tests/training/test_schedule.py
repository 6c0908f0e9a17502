"""The learning rate that an optimizer uses at each update."""

import mlx.core as mx
import pytest
from mlx import optimizers

from tersely.errors import ConfigError
from tersely.training.config import Schedule
from tersely.training.schedule import learning_rate


def rates(schedule: Schedule, warmup: int, updates: int, peak: float = 1.0) -> list[float]:
    """Of every update in turn: how far plain descent goes along a slope of 1."""
    optimizer = optimizers.SGD(learning_rate(peak, schedule, warmup, updates))
    weight, used = mx.array(0.0), []
    for _ in range(updates):
        moved = optimizer.apply_gradients({"w": mx.array(1.0)}, {"w": weight})["w"]
        used.append((weight - moved).item())
        # What a report says is what was used.
        assert used[-1] == optimizer.learning_rate.item()
    return used


@pytest.mark.parametrize(
    ("schedule", "warmup", "expected"),
    [
        (Schedule.constant, 0, [1, 1, 1, 1, 1, 1, 1, 1]),
        # Quarters of the peak, which update 4 has.
        (Schedule.constant, 4, [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]),
        # From 1 at update 1 by an eighth each to 0 at update 9, which does not come.
        (Schedule.linear, 0, [1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]),
        # From 1 at update 4 by a fifth each to 0 at update 9.
        (Schedule.linear, 4, [0.25, 0.5, 0.75, 1, 0.8, 0.6, 0.4, 0.2]),
        # (1 + cos(k pi / 8)) / 2 for k = 0 to 7; a half at k = 4.
        (
            Schedule.cosine,
            0,
            [1, 0.961940, 0.853553, 0.691342, 0.5, 0.308658, 0.146447, 0.038060],
        ),
        # Update 5 is the first of six: (1 + cos(k pi / 4)) / 2 for k = 0 to 3.
        (Schedule.cosine, 5, [0.2, 0.4, 0.6, 0.8, 1, 0.853553, 0.5, 0.146447]),
    ],
)
def test_eight_updates(schedule: Schedule, warmup: int, expected: list[float]) -> None:
    assert expected == pytest.approx(rates(schedule, warmup, 8), abs=1e-6)


@pytest.mark.parametrize("schedule", Schedule)
def test_a_warmup_of_one_update_is_none(schedule: Schedule) -> None:
    """The first update has the peak in both."""
    assert rates(schedule, 0, 5) == rates(schedule, 1, 5)


@pytest.mark.parametrize("schedule", Schedule)
def test_the_study_s_rate_over_its_thousand_updates(schedule: Schedule) -> None:
    """No update is spent on a rate of 0, and none is above the peak."""
    used = rates(schedule, 100, 1000, peak=2e-6)

    assert 2e-8 == pytest.approx(used[0])
    assert 2e-6 == pytest.approx(used[99])
    assert all(0 < rate <= 2.000001e-6 for rate in used)
    assert sorted(used[:100]) == used[:100]
    assert sorted(used[99:], reverse=True) == used[99:]


@pytest.mark.parametrize("schedule", Schedule)
def test_a_stage_that_is_all_warmup_ends_at_the_peak(schedule: Schedule) -> None:
    assert [1 / 3, 2 / 3, 1] == pytest.approx(rates(schedule, 3, 3))


@pytest.mark.parametrize("schedule", Schedule)
def test_a_stage_of_one_update(schedule: Schedule) -> None:
    assert [1.0] == rates(schedule, 0, 1)


def test_a_constant_rate_is_a_number() -> None:
    """So that MLX has no schedule to evaluate."""
    assert 2e-6 == learning_rate(2e-6, Schedule.constant, 0, 1000)


def test_a_warmup_longer_than_the_stage_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"warmup_updates=6 .* 5 updates.* at most 5"):
        learning_rate(1.0, Schedule.constant, 6, 5)
