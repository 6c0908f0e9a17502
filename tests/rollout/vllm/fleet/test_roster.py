"""How workers leave a fleet and come back, and when a run stops waiting for them."""

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest
from fake_fleet import (
    GROUPS,
    REQUESTS,
    SAMPLING,
    Bring,
    always,
    fleet_of,
    run,
    sampled,
    then,
    until,
    warnings,
)
from fake_workers import FakeWorker, Fault, bring, weights

from tersely.errors import RolloutError, SyncNotApplied
from tersely.rollout.vllm.fleet.roster import Waits
from tersely.rollout.vllm.fleet.worker import Worker
from tersely.rollout.vllm.records import Published, WorkerFault


def test_half_of_the_fleet_goes_and_comes_back() -> None:
    """What comes back is brought to the weights of the day before it is asked for anything."""
    fakes = [FakeWorker() for _ in range(4)]

    async def test() -> None:
        async with fleet_of(*fakes) as fleet:
            await sampled(fleet)
            for fake in fakes[:2]:
                await fake.stop()
            assert GROUPS == await sampled(fleet, version=2)
            assert 2 == fleet.counts.live
            for fake in fakes[:2]:
                await fake.start()
            await until(lambda: fleet.counts.live == 4)
            assert ["run-2"] * 4 == [fake.tag for fake in fakes]
            asked = Counter(len(fake.asked) for fake in fakes[:2])
            assert GROUPS == await sampled(fleet, version=3)
            assert asked != Counter(len(fake.asked) for fake in fakes[:2])
            assert 0 == fleet.counts.discarded

    run(test())


def test_all_go_and_one_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    """The run waits for it, says at once and again what for, and goes on by itself."""
    fakes = [FakeWorker(), FakeWorker()]

    async def test() -> None:
        async with fleet_of(*fakes) as fleet:
            await fleet.publish(weights(1))
            for fake in fakes:
                await fake.stop()
            sampling = asyncio.create_task(fleet.sample(REQUESTS, SAMPLING))
            await until(lambda: len(waits()) >= 2)
            await fakes[1].start()
            assert GROUPS == await sampling
            assert 1 == fleet.counts.live

    def waits() -> list[str]:
        return [line for line in warnings(caplog.records) if "no worker can be asked" in line]

    run(test())
    assert all(fake.url in line for line in waits() for fake in fakes)


def test_servers_may_start_after_the_run() -> None:
    fake = FakeWorker()

    async def test() -> None:
        async with fleet_of(fake) as fleet:
            await fake.stop()
            await fleet.publish(weights(1))
            assert 0 == fleet.counts.live
            sampling = asyncio.create_task(fleet.sample(REQUESTS, SAMPLING))
            await asyncio.sleep(0.05)
            await fake.start()
            assert GROUPS == await sampling

    run(test())


@pytest.mark.parametrize("fault", [Fault.killed, Fault.unavailable, Fault.cut_off])
def test_patience_ends_with_every_worker_and_its_fault(fault: Fault) -> None:
    """Also when workers come back again and again and then fail at the next request."""
    broken, away = always(fault), FakeWorker()

    async def test() -> None:
        waits = Waits(patience_s=0.3, first_probe_s=0.01, longest_probe_s=0.05)
        async with fleet_of(broken, away, waits=waits) as fleet:
            await away.stop()
            with pytest.raises(RolloutError, match=r"0\.3 seconds \(rollout") as caught:
                await sampled(fleet)
        assert broken.url in str(caught.value) and away.url in str(caught.value)
        assert "gave no answer" in str(caught.value)

    run(test())
    assert len(broken.asked) > 3


def test_success_renews_the_patience() -> None:
    """Each of 8 steps has a fault and a wait of 0.15 seconds: 1.2 seconds, of a patience of 0.8."""

    async def test() -> None:
        waits = Waits(patience_s=0.8, first_probe_s=0.15)
        async with fleet_of(then(*[Fault.killed, None] * 8), waits=waits) as fleet:
            await fleet.publish(weights(1))
            for _ in range(8):
                assert GROUPS[:1] == await fleet.sample(REQUESTS[:1], SAMPLING)
            assert 8 == fleet.counts.faults

    run(test())


def test_a_request_that_nobody_takes_ends_the_run_at_once() -> None:
    """Patience would not help: the servers are there and say no."""

    async def test() -> None:
        waits = Waits(patience_s=600.0, first_probe_s=60.0)
        async with fleet_of(always(Fault.refused), always(Fault.refused), waits=waits) as fleet:
            with pytest.raises(RolloutError, match="too long a prompt"):
                await sampled(fleet)

    run(test())


def test_a_worker_without_hope_does_not_end_what_another_goes_on_with() -> None:
    """The first says no for ever; the second fails once and is back."""

    async def test() -> None:
        sound = then(Fault.unavailable)
        async with fleet_of(always(Fault.refused), sound) as fleet:
            assert GROUPS == await sampled(fleet)
            assert fleet.counts.faults >= 2
        assert len(sound.asked) > 1

    run(test())


def test_a_worker_that_comes_back_while_weights_change_gets_the_newer_ones() -> None:
    fakes = [FakeWorker(), FakeWorker()]
    held, release = asyncio.Event(), asyncio.Event()
    brought: list[str] = []

    async def hold(worker: Worker, published: Published) -> None:
        if worker.url == fakes[0].url:
            brought.append(published.tag)
            if len(brought) == 1:
                raise WorkerFault(worker.url, "not yet")
            if len(brought) == 2:
                held.set()
                await release.wait()
        await bring(worker, published)

    async def test() -> None:
        async with fleet_of(*fakes, bring=hold) as fleet:
            await fleet.publish(weights(1))
            await held.wait()
            await fleet.publish(weights(2))
            release.set()
            await until(lambda: fleet.counts.live == 2)
            assert ["run-1", "run-1", "run-2"] == brought
            assert "run-2" == fakes[0].tag

    run(test())


def not_applied(url: Callable[[], str], versions: set[int]) -> Bring:
    async def refuse(worker: Worker, published: Published) -> None:
        await bring(worker, published)
        if worker.url == url() and published.version in versions:
            raise SyncNotApplied(f"{worker.url} does not sample with {published.tag}")

    return refuse


def test_weights_that_do_not_arrive_at_first_end_the_run() -> None:
    """Even if another worker has them: something is set up wrongly."""
    fakes = [FakeWorker(), FakeWorker()]

    async def test() -> None:
        refuse = not_applied(lambda: fakes[0].url, {1})
        async with fleet_of(*fakes, bring=refuse) as fleet:
            with pytest.raises(SyncNotApplied, match="run-1"):
                await fleet.publish(weights(1))

    run(test())


def test_weights_that_do_not_arrive_later_leave_a_worker_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The others go on without it, and it is back with the weights that it takes."""
    fakes = [FakeWorker(), FakeWorker()]

    async def test() -> None:
        refuse = not_applied(lambda: fakes[0].url, {2})
        async with fleet_of(*fakes, bring=refuse) as fleet:
            await fleet.publish(weights(1))
            assert GROUPS == await sampled(fleet, version=2)
            assert 1 == fleet.counts.live
            await fleet.publish(weights(3))
            await until(lambda: fleet.counts.live == 2)

    run(test())
    (warning,) = warnings(caplog.records)
    assert f"{fakes[0].url} does not sample with run-2" in warning


def test_weights_that_the_last_worker_does_not_take_end_the_run() -> None:
    """At once, whether it was there when they came or comes back and does not take them."""
    fake = FakeWorker()

    async def there() -> None:
        refuse = not_applied(lambda: fake.url, {2})
        async with fleet_of(fake, bring=refuse) as fleet:
            await fleet.publish(weights(1))
            with pytest.raises(SyncNotApplied):
                await fleet.publish(weights(2))

    async def back() -> None:
        refuse = not_applied(lambda: fake.url, {2})
        async with fleet_of(fake, bring=refuse) as fleet:
            await fleet.publish(weights(1))
            await fake.stop()
            await fleet.publish(weights(2))
            sampling = asyncio.create_task(fleet.sample(REQUESTS, SAMPLING))
            await asyncio.sleep(0.05)
            await fake.start()
            with pytest.raises(SyncNotApplied):
                await sampling

    run(there())
    run(back())


def test_a_defect_in_the_background_reaches_the_caller() -> None:
    """A worker that is out meets it when it is brought back, while another still samples."""
    fakes = [FakeWorker(), always(Fault.slow)]

    async def defect(worker: Worker, published: Published) -> None:
        if worker.url == fakes[0].url:
            if published.version == 1:
                raise WorkerFault(worker.url, "not yet")
            raise ZeroDivisionError
        await bring(worker, published)

    async def test() -> None:
        async with fleet_of(*fakes, bring=defect, timeout_s=60) as fleet:
            await fleet.publish(weights(1))
            sampling = asyncio.create_task(fleet.sample(REQUESTS, SAMPLING))
            await until(lambda: bool(fakes[1].asked))
            with pytest.raises(ZeroDivisionError):
                await fleet.publish(weights(2))
                await sampling
            with pytest.raises(ZeroDivisionError):
                await sampling

    run(test())


def test_a_defect_at_bringing_reaches_the_caller() -> None:
    async def defect(worker: Worker, published: Published) -> None:
        raise ZeroDivisionError

    async def test() -> None:
        async with fleet_of(FakeWorker(), FakeWorker(), bring=defect) as fleet:
            with pytest.raises(ZeroDivisionError):
                await fleet.publish(weights(1))

    run(test())
