"""What is spent never exceeds the budget, worked by hand."""

import asyncio
from typing import Any

import pytest

from tersely.evaluation.judges.budget import TEMPLATE_TOKENS, Budget, BudgetSpent
from tersely.evaluation.judges.config import GevalConfig

PROMPT = "x" * (1000 - TEMPLATE_TOKENS)
"""At most 1000 tokens."""


def budget(**values: Any) -> Budget:
    """A dollar for a thousand tokens in, two for a thousand out; at most 1000 out."""
    return Budget(
        GevalConfig(
            base_url="http://h/v1",
            model="m",
            max_tokens=1000,
            usd_per_million_in=1000.0,
            usd_per_million_out=2000.0,
            **values,
        )
    )


def test_a_request_that_must_fit_goes_out() -> None:
    """At most 1 + 2 dollars each. The first used 100 and 50 tokens: 0.1 + 0.1 = 0.2 dollars. Of 3.3
    dollars 3.1 are left, and the second goes out; it used 1000 and 500, 2 dollars, and the third
    would be more than the 1.1 that are left."""

    async def scenario() -> None:
        spent = budget(max_usd=3.3)
        spent.settle(await spent.reserve(PROMPT), (100, 50))
        assert pytest.approx(0.2) == spent.usd
        spent.settle(await spent.reserve(PROMPT), (1000, 500))
        with pytest.raises(BudgetSpent):
            await spent.reserve(PROMPT)
        usage = spent.usage(cached=3)
        assert (2, 3, 1100, 550) == (
            usage.calls,
            usage.cached,
            usage.prompt_tokens,
            usage.completion_tokens,
        )
        assert pytest.approx(2.2) == usage.usd

    asyncio.run(scenario())


def test_a_request_waits_for_those_that_are_out() -> None:
    """Of 4 dollars the first sets 3 aside, so the second waits; when the first used 0.2 it goes."""

    async def scenario() -> None:
        spent = budget(max_usd=4.0)
        first = await spent.reserve(PROMPT)
        second = asyncio.create_task(spent.reserve(PROMPT))
        await asyncio.sleep(0.01)
        assert not second.done()
        spent.settle(first, (100, 50))
        spent.release(await second)
        assert pytest.approx(0.2) == spent.usd

    asyncio.run(scenario())


def test_a_reply_that_does_not_say_what_it_used_counts_in_full() -> None:
    async def scenario() -> float | None:
        spent = budget()
        spent.settle(await spent.reserve(PROMPT), None)
        return spent.usd

    assert 3.0 == asyncio.run(scenario())


def test_calls_are_counted_when_they_go_out() -> None:
    """Two may go out; one is refused by the endpoint and gives its place back."""

    async def scenario() -> None:
        spent = budget(max_calls=2)
        spent.settle(await spent.reserve(PROMPT), (1, 1))
        refused = await spent.reserve(PROMPT)
        spent.release(refused)
        spent.settle(await spent.reserve(PROMPT), (1, 1))
        with pytest.raises(BudgetSpent):
            await spent.reserve(PROMPT)

    asyncio.run(scenario())


def test_without_a_price_there_are_no_dollars() -> None:
    assert None is Budget(GevalConfig(base_url="http://h/v1", model="m")).usd
