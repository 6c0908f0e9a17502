"""How many requests are out at a time, worked by hand."""

import asyncio

import pytest

from tersely.evaluation.judges.pace import Pace


def test_a_refusal_halves_and_answers_raise_by_one() -> None:
    """8 -> 4; then 1/4 + 1/4.25 + ... reaches 5 after four to five answers; a second refusal of a
    request that was out before the first changes nothing; never below 1."""

    async def scenario() -> None:
        pace, now = Pace(8), asyncio.get_running_loop().time()
        pace.refused(now, None)
        assert 4 == pace.allowed
        pace.refused(now - 1, None)
        assert 4 == pace.allowed
        for _ in range(4):
            pace.answered()
        # 4 + 1/4 = 4.25; + 1/4.25 = 4.485; + 1/4.485 = 4.708; + 1/4.708 = 4.921
        assert 4.921 == pytest.approx(pace.allowed, abs=1e-3)
        for _ in range(100):
            pace.answered()
        assert 8 == pace.allowed
        for _ in range(5):
            await asyncio.sleep(0.001)
            pace.refused(asyncio.get_running_loop().time(), None)
        assert 1 == pace.allowed

    asyncio.run(scenario())


def test_no_more_are_inside_than_allowed_and_all_come_in() -> None:
    """20 that want in; 4 at a time, and 2 after a refusal."""
    most: list[int] = []

    async def scenario() -> int:
        pace, inside, done = Pace(4), 0, 0

        async def one(number: int) -> None:
            nonlocal inside, done
            async with pace:
                inside += 1
                most.append(inside)
                if number == 7:
                    pace.refused(asyncio.get_running_loop().time(), None)
                    most.clear()
                await asyncio.sleep(0.001)
                inside -= 1
            done += 1

        await asyncio.gather(*(one(number) for number in range(20)))
        return done

    assert 20 == asyncio.run(asyncio.wait_for(scenario(), 10))
    # Those that were inside at the refusal leave first.
    assert 2 == max(most[4:])


def test_nobody_comes_in_while_the_endpoint_wants_to_be_left_alone() -> None:
    async def scenario() -> float:
        pace, loop = Pace(4), asyncio.get_running_loop()
        began = loop.time()
        pace.refused(began, 0.2)
        async with pace:
            return loop.time() - began

    assert asyncio.run(scenario()) >= 0.2
