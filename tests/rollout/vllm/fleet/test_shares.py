"""How a group is divided among workers."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tersely.rollout.vllm.fleet.shares import split
from tersely.rollout.vllm.records import Share

GROUP = Share(group=2, first=0, count=8, prompt=(5, 6), seed=100)


def places(shares: Iterator[tuple[int, Share]]) -> list[tuple[int, int, int, int]]:
    return [(part, share.first, share.count, share.seed) for part, share in shares]


@pytest.mark.parametrize(
    ("parts", "first_part", "expected"),
    [
        (1, 0, [(0, 0, 8, 100)]),
        (3, 0, [(0, 0, 3, 100), (1, 3, 3, 103), (2, 6, 2, 106)]),
        (3, 1, [(1, 0, 3, 100), (2, 3, 3, 103), (0, 6, 2, 106)]),
        (4, 3, [(3, 0, 2, 100), (0, 2, 2, 102), (1, 4, 2, 104), (2, 6, 2, 106)]),
    ],
)
def test_parts_are_consecutive_and_the_first_ones_are_larger(
    parts: int, first_part: int, expected: list[tuple[int, int, int, int]]
) -> None:
    """Part, first place, number and first seed of each share of 8."""
    assert expected == places(split(GROUP, parts, first_part))


def test_with_more_parts_than_rollouts_some_get_none() -> None:
    """Rollouts 6 and 7 of a group, from part 4 of 5: 4 and 0."""
    rest = Share(group=2, first=6, count=2, prompt=(5, 6), seed=106)
    assert [(4, 6, 1, 106), (0, 7, 1, 107)] == places(split(rest, 5, 4))


@given(st.integers(1, 40), st.integers(0, 9), st.integers(1, 12), st.data())
def test_every_rollout_is_in_one_share_with_its_seed(
    count: int, first: int, parts: int, data: st.DataObject
) -> None:
    """However a share is split, and parts differ by one rollout at most."""
    turn = data.draw(st.integers(0, parts - 1))
    whole = Share(1, first, count, (3,), 1000 + first)
    shares = [share for _, share in split(whole, parts, turn)]
    seeds = [
        (share.first + place, share.seed + place)
        for share in shares
        for place in range(share.count)
    ]
    assert [(place, 1000 + place) for place in range(first, first + count)] == seeds
    assert max(share.count for share in shares) - count // parts <= 1
