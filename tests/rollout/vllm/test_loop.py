"""Coroutines run for another thread."""

import asyncio
import threading

import pytest

from tersely.errors import RolloutError
from tersely.rollout.vllm.loop import LoopThread


async def twice(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


def test_results_and_errors_reach_the_caller() -> None:
    loop = LoopThread("test")

    async def fail() -> None:
        raise ZeroDivisionError("of its own")

    assert 6 == loop.run(twice(3))
    with pytest.raises(ZeroDivisionError, match="of its own"):
        loop.run(fail())
    loop.close()


def test_closing_cuts_short_what_runs_and_is_final() -> None:
    """Work in flight ends with a RolloutError, and so does work that comes too late."""
    loop = LoopThread("test")
    ended: list[str] = []
    started = threading.Event()

    async def for_ever() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cleaned up")

    def call() -> None:
        try:
            loop.run(for_ever())
        except RolloutError as error:
            ended.append(str(error))

    caller = threading.Thread(target=call)
    caller.start()
    assert started.wait(10)
    loop.close()
    loop.close()
    caller.join(10)

    assert ["cleaned up", "sampling was stopped"] == ended
    assert "test" not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(RolloutError, match="stopped"):
        loop.run(twice(1))
