"""Numbers as a person reads them."""

import pytest

from tersely.planning.estimate import Spread, sure
from tersely.planning.words import about, count, duration, durations, jobs_named, size


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.214, "0.21 s"),
        (9.949, "9.95 s"),
        (9.96, "10 s"),
        (99.4, "99 s"),
        (100.0, "2 min"),
        (5900.0, "98 min"),
        (12_240.0, "3.4 h"),
    ],
)
def test_durations_of_all_lengths(seconds: float, said: str) -> None:
    assert said == duration(seconds)


def test_a_range_is_said_where_there_is_one() -> None:
    assert "2 min (99 s to 3 min)" == durations(Spread(99.0, 120.0, 200.0))
    assert "2 min" == durations(sure(120.0))


def test_sizes_and_counts() -> None:
    assert ["12 MB", "1.9 GB"] == [size(12_400_000), size(1_949_000_000)]
    assert ["2,592", "1.4 million", "104 million"] == [count(2592), count(1.4e6), count(104e6)]
    assert ["2,590", "37,100"] == [about(2592), about(37_114)]


def test_jobs_next_to_each_other_are_a_range() -> None:
    assert "job 7" == jobs_named([7])
    assert "jobs 0-3, 7, 9-10" == jobs_named([7, 0, 1, 2, 3, 10, 9])
