"""A fleet of fake workers, and what the tests of it share."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any

from fake_workers import FakeWorker, Fault, bring, completion, running, weights

from tersely.rollout.vllm.fleet.fleet import Fleet
from tersely.rollout.vllm.fleet.replies import Dialect
from tersely.rollout.vllm.fleet.roster import Waits
from tersely.rollout.vllm.fleet.shares import Request
from tersely.rollout.vllm.fleet.worker import Worker
from tersely.rollout.vllm.records import Completion, Published, Sampling

SAMPLING = Sampling(max_tokens=24, temperature=1.0, stop_token_ids=(0,))
REQUESTS = [Request((10 + place, 20, 30), 8, 1000 * (place + 1)) for place in range(3)]
GROUPS = [
    [completion(request.prompt, request.seed + place, SAMPLING) for place in range(8)]
    for request in REQUESTS
]
QUICK = Waits(patience_s=10.0, first_probe_s=0.01, longest_probe_s=0.05, warning_s=0.1)
Bring = Callable[[Worker, Published], Awaitable[None]]


@asynccontextmanager
async def fleet_of(
    *fakes: FakeWorker,
    dialect: Dialect = Dialect.tagged,
    bring: Bring = bring,
    waits: Waits = QUICK,
    timeout_s: float = 5.0,
    requests_per_worker: int = 16,
) -> AsyncIterator[Fleet]:
    """A fleet of these workers, which run and have no weights yet."""
    async with running(*fakes):
        fleet = Fleet(
            [Worker(fake.url, timeout_s=timeout_s) for fake in fakes],
            bring,
            dialect=dialect,
            requests_per_worker=requests_per_worker,
            waits=waits,
        )
        try:
            yield fleet
        finally:
            await fleet.close()


async def sampled(fleet: Fleet, version: int = 1) -> list[list[Completion]]:
    await fleet.publish(weights(version))
    return await fleet.sample(REQUESTS, SAMPLING)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


def run(work: Coroutine[Any, Any, None]) -> None:
    """`work`, which leaves no task behind and does not take for ever."""

    async def bounded() -> None:
        async with asyncio.timeout(20):
            await work
        assert {asyncio.current_task()} == asyncio.all_tasks()

    asyncio.run(bounded())


def then(*faults: Fault | None) -> FakeWorker:
    """A worker that meets these faults, one a request, and no more."""
    left = deque(faults)
    return FakeWorker(lambda: left.popleft() if left else None)


def always(fault: Fault) -> FakeWorker:
    return FakeWorker(lambda: fault)


def warnings(records: Iterable[logging.LogRecord]) -> list[str]:
    return [record.getMessage() for record in records if record.levelno == logging.WARNING]
