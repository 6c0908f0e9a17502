"""Groups over several workers, some of which fail, and the end of it all."""

import asyncio

import pytest
from fake_fleet import (
    GROUPS,
    QUICK,
    REQUESTS,
    SAMPLING,
    always,
    fleet_of,
    run,
    sampled,
    then,
    until,
    warnings,
)
from fake_workers import FakeWorker, Fault, bring, weights

from tersely.errors import RolloutError
from tersely.rollout.vllm.fleet.fleet import Fleet
from tersely.rollout.vllm.fleet.replies import Dialect
from tersely.rollout.vllm.fleet.roster import Waits
from tersely.rollout.vllm.fleet.worker import Worker


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize("workers", [1, 2, 3, 12])
def test_groups_come_back_whole_and_in_order(workers: int, dialect: Dialect) -> None:
    """The same from any number of workers, with more of them than rollouts in a group too."""

    async def test() -> None:
        async with fleet_of(*(FakeWorker() for _ in range(workers)), dialect=dialect) as fleet:
            assert GROUPS == await sampled(fleet)
            assert (0, 0, 0) == (
                fleet.counts.retried,
                fleet.counts.discarded,
                fleet.counts.faults,
            )

    run(test())


def test_a_group_is_spread_evenly_and_the_larger_parts_go_round() -> None:
    """8 over 3 workers are 3, 3 and 2 of consecutive seeds. The first group's go to A, B, C, the
    second's to B, C, A, the third's to C, A, B."""
    fakes = [FakeWorker() for _ in range(3)]

    async def test() -> None:
        async with fleet_of(*fakes) as fleet:
            await sampled(fleet)
            assert 9 == fleet.counts.requests

    run(test())
    a, b, c = ([(seed, count) for _, seed, count in sorted(fake.asked)] for fake in fakes)
    assert [(1000, 3), (2006, 2), (3003, 3)] == a
    assert [(1003, 3), (2000, 3), (3006, 2)] == b
    assert [(1006, 2), (2003, 3), (3000, 3)] == c


def test_a_worker_has_no_more_requests_at_a_time_than_it_may() -> None:
    fake = FakeWorker()
    fake.delay_s = 0.02

    async def test() -> None:
        async with fleet_of(fake, requests_per_worker=2) as fleet:
            assert GROUPS == await sampled(fleet)

    run(test())
    assert (2, 3) == (fake.most_at_once, len(fake.asked))


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize("fault", Fault)
def test_what_one_worker_fails_at_another_does(
    fault: Fault, dialect: Dialect, caplog: pytest.LogCaptureFixture
) -> None:
    """With the same seeds, so the groups are those of a run without a fault. Of each group the
    failing worker had 4 of 8 rollouts. Its fault is told by name."""
    failing, sound = always(fault), FakeWorker()

    async def test() -> None:
        waits = Waits(patience_s=10.0, first_probe_s=60.0)
        deadline_s = 1.0 if fault is Fault.slow else 10.0
        async with fleet_of(
            failing, sound, dialect=dialect, waits=waits, timeout_s=deadline_s
        ) as fleet:
            assert GROUPS == await sampled(fleet)
            counts = fleet.counts
            assert (2, 1, 1, 12) == (counts.workers, counts.live, counts.faults, counts.retried)
            wrong = fault in (Fault.stale, Fault.gone)
            assert wrong == (counts.discarded > 0)

    run(test())
    (warning,) = warnings(caplog.records)
    assert failing.url in warning and "left out" in warning


def test_the_work_of_a_worker_that_failed_is_not_waited_for() -> None:
    """Its first request breaks off and the two others would never be answered. Their deadline is
    longer than the test may take."""
    failing, sound = then(Fault.killed, Fault.slow, Fault.slow), FakeWorker()

    async def test() -> None:
        waits = Waits(patience_s=100.0, first_probe_s=60.0)
        async with fleet_of(failing, sound, waits=waits, timeout_s=60) as fleet:
            assert GROUPS == await sampled(fleet)

    run(test())


def test_rollouts_of_other_weights_are_thrown_away_and_the_worker_is_brought_again() -> None:
    """The server was started anew meanwhile, and has what its checkpoint has. It had 8 rollouts
    to sample."""
    fake = then(Fault.gone)

    async def test() -> None:
        async with fleet_of(fake) as fleet:
            await fleet.publish(weights(1))
            assert GROUPS[:1] == await fleet.sample(REQUESTS[:1], SAMPLING)
            assert (8, 8, "run-1") == (fleet.counts.discarded, fleet.counts.retried, fake.tag)

    run(test())


def test_a_caller_that_is_cancelled_leaves_no_request_behind() -> None:
    fake = always(Fault.slow)

    async def test() -> None:
        async with fleet_of(fake, timeout_s=60) as fleet:
            await fleet.publish(weights(1))
            sampling = asyncio.create_task(fleet.sample(REQUESTS, SAMPLING))
            await until(lambda: len(fake.asked) == 3)
            sampling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sampling
            await until(lambda: fake.at_once == 0)

    run(test())


@pytest.mark.parametrize("fault", [Fault.slow, Fault.killed])
def test_close_ends_what_is_going_on(fault: Fault) -> None:
    """Whether it waits for a reply or for a worker; and nothing can be asked later. `run` sees to
    it that no task is left."""

    async def test() -> None:
        waits = Waits(patience_s=600.0, first_probe_s=60.0)
        fake = always(fault)
        async with fleet_of(fake, waits=waits, timeout_s=60) as fleet:
            await fleet.publish(weights(1))
            sampling = asyncio.create_task(fleet.sample(REQUESTS, SAMPLING))
            await until(lambda: bool(fake.asked))
            await asyncio.sleep(0.05)
            await fleet.close()
            with pytest.raises(RolloutError, match="stopped"):
                await sampling
            with pytest.raises(RolloutError, match="stopped"):
                await fleet.sample(REQUESTS, SAMPLING)
            with pytest.raises(RolloutError, match="stopped"):
                await fleet.publish(weights(2))

    run(test())


def test_a_fleet_can_be_made_and_counted_where_there_is_no_event_loop() -> None:
    fleet = Fleet(
        [Worker("http://127.0.0.1:1", timeout_s=1)],
        bring,
        dialect=Dialect.tagged,
        requests_per_worker=1,
        waits=QUICK,
    )
    assert (1, 1, 0) == (fleet.counts.workers, fleet.counts.live, fleet.counts.requests)
    asyncio.run(fleet.close())
