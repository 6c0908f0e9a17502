"""How groups are cut, worked by hand and against every other way of cutting them."""

from collections.abc import Iterator, Sequence

import pytest

from tersely.training.chunks import CHUNK_COST, STEP, Chunk, Plan, plans, split

LENGTHS = [5, 60, 12, 58]
"""Rounded up to 8, 64, 16 and 64."""


def padded(length: int) -> int:
    return next(at for at in range(0, 10_000, STEP) if at >= length)


def cost(chunks: Sequence[Chunk]) -> int:
    return sum(chunk.tokens + CHUNK_COST for chunk in chunks)


def partitions(rows: list[int], most: int) -> Iterator[list[list[int]]]:
    """Every way to put rows into chunks of at most `most`."""
    if not rows:
        yield []
        return
    for rest in partitions(rows[1:], most):
        yield [[rows[0]], *rest]
        for place, chunk in enumerate(rest):
            if len(chunk) < most:
                yield [*rest[:place], [rows[0], *chunk], *rest[place + 1 :]]


@pytest.mark.parametrize(
    ("lengths", "most", "expected"),
    [
        # All: 4 * 64 + 64 = 320. Long and short apart: 2 * 64 + 64, 2 * 16 + 64, together 288.
        # The short ones each by itself: 192 + 80 + 72 = 344.
        (LENGTHS, 4, [Chunk((1, 3), 64), Chunk((2, 0), 16)]),
        # With three at most it is the same; one by one nothing is left to choose.
        (LENGTHS, 3, [Chunk((1, 3), 64), Chunk((2, 0), 16)]),
        (LENGTHS, 1, [Chunk((1,), 64), Chunk((3,), 64), Chunk((2,), 16), Chunk((0,), 8)]),
        # 16 and 8: 2 * 16 + 64 = 96 together; 16 + 64 + 8 + 64 = 152 apart.
        ([5, 12], 2, [Chunk((1, 0), 16)]),
        # A short one beside a long one costs its padding: 80 - 16 = 64 is a chunk's cost, and one
        # chunk less is taken when both cost the same: 2 * 80 + 64 = 80 + 64 + 16 + 64 = 224.
        ([80, 16], 2, [Chunk((0, 1), 80)]),
        # 88 - 16 = 72 is more: 240 together, 232 apart.
        ([88, 16], 2, [Chunk((0,), 88), Chunk((1,), 16)]),
        # Equal lengths are never cut without need; lengths that round to the same are equal.
        ([9, 16, 10, 13], 4, [Chunk((1, 3, 2, 0), 16)]),
        # A multiple stays what it is; one token is padded to a step.
        ([8], 1, [Chunk((0,), 8)]),
        ([1], 16, [Chunk((0,), 8)]),
    ],
)
def test_completions_of_about_the_same_length_share_a_chunk(
    lengths: list[int], most: int, expected: list[Chunk]
) -> None:
    """A chunk costs its padded tokens and 64."""
    assert tuple(expected) == split(lengths, most)


@pytest.mark.parametrize("most", [1, 2, 3, 6])
@pytest.mark.parametrize(
    "lengths", [[64, 3, 200, 70, 65, 9], [1, 1, 1, 1, 1, 1], [500, 400, 300, 200, 100, 1]], ids=str
)
def test_no_other_way_costs_less(lengths: list[int], most: int) -> None:
    """Of all partitions of six completions, neighbours in length or not."""
    best = min(
        sum(len(rows) * max(padded(lengths[row]) for row in rows) + CHUNK_COST for rows in chunks)
        for chunks in partitions(list(range(6)), most)
    )
    assert best == cost(split(lengths, most))


@pytest.mark.parametrize("most", range(1, 8))
def test_every_completion_is_in_one_chunk_that_it_fits(most: int) -> None:
    """Longest first, no chunk above its size, no row of padding."""
    lengths = [17, 3, 90, 41, 8, 64, 2]

    chunks = split(lengths, most)

    assert list(range(7)) == sorted(row for chunk in chunks for row in chunk.rows)
    for chunk in chunks:
        assert 1 <= len(chunk.rows) <= most
        assert padded(max(lengths[row] for row in chunk.rows)) == chunk.length
        assert len(chunk.rows) * chunk.length == chunk.tokens
    assert sorted((chunk.length for chunk in chunks), reverse=True) == [c.length for c in chunks]


def shape(plan: Plan) -> tuple[str, int, bool]:
    """How a plan works, its largest chunk, and whether it has checkpoints."""
    largest = max(len(chunk.rows) for chunk in plan.chunks)
    return "together" if plan.together else "one by one", largest, plan.checkpoint


def test_plans_come_the_fastest_first_and_the_smallest_last() -> None:
    """Everything at once, then 3, 2 and 1 at a time (3 and 1 cost what 2 and 2 do); then all of
    it with checkpoints."""
    found = [shape(plan) for plan in plans([8] * 4, None, None)]

    without = [("together", 4), ("one by one", 3), ("one by one", 2), ("one by one", 1)]
    assert [(*each, checkpoint) for checkpoint in (False, True) for each in without] == found


@pytest.mark.parametrize("checkpoint", [False, True])
def test_whether_there_are_checkpoints_can_be_given(checkpoint: bool) -> None:
    found = list(plans([8] * 4, None, checkpoint))
    assert 4 == len(found)
    assert {checkpoint} == {plan.checkpoint for plan in found}


def test_the_size_of_a_chunk_can_be_given() -> None:
    """Nothing smaller is tried, however little memory there is, and nothing larger."""
    found = [shape(plan) for plan in plans([8] * 4, 2, None)]
    assert [("one by one", 2, False), ("one by one", 2, True)] == found


@pytest.mark.parametrize("size", [4, 5, 100])
def test_a_chunk_of_the_whole_group_or_more_is_everything_at_once(size: int) -> None:
    assert [("together", 4, False), ("together", 4, True)] == [
        shape(plan) for plan in plans([8] * 4, size, None)
    ]


def test_what_is_together_may_still_be_in_several_chunks() -> None:
    """Where that saves padding; a size for all of them leaves them, then, one after the other."""
    chunks = (Chunk((1, 3), 64), Chunk((2, 0), 16))
    found = list(plans(LENGTHS, 4, False))
    assert [Plan(chunks, True, False), Plan(chunks, False, False)] == found


@pytest.mark.parametrize("size", [None, 1, 3])
def test_a_group_of_one_has_one_plan_with_and_without_checkpoints(size: int | None) -> None:
    one = (Chunk((0,), 24),)
    assert [Plan(one, True, False), Plan(one, True, True)] == list(plans([20], size, None))
