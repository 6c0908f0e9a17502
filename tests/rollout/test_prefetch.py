"""Which weights sample which step, and what happens when sampling is slow or fails."""

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import mlx.core as mx
import pytest

from tersely import progress
from tersely.errors import RolloutError
from tersely.records import Example, Group, Prompt
from tersely.rollout import prefetch
from tersely.rollout.prefetch import Prefetcher, Sampled
from tersely.rollout.sampler import Sampler, Snapshot
from tersely.rollout.staleness import Schedule


def prompts_of(step: int) -> list[Prompt]:
    return [Prompt(Example(f"post {step}", "words", ("a reference",)), (1, 2, step))]


class RecordingSampler(Sampler):
    """Keeps which step was sampled with which version, then does what it is told to."""

    def __init__(self, then: Callable[[int], object] = lambda step: None) -> None:
        self.seen: list[tuple[int, int]] = []
        self._then = then

    def sample(self, prompts: Sequence[Prompt], snapshot: Snapshot, step: int) -> tuple[Group, ...]:
        self.seen.append((step, snapshot.version))
        self._then(step)
        return tuple(Group(prompt, ()) for prompt in prompts)


def run(rollouts: Prefetcher, steps: int) -> list[Sampled]:
    """The training loop, with nothing learned."""
    sampled = []
    for step in range(steps):
        rollouts.publish(Snapshot({}, version=step))
        sampled.append(rollouts.next_batch())
    return sampled


@pytest.mark.parametrize(
    ("ahead", "versions"),
    [
        (0, [0, 1, 2, 3, 4, 5]),
        (1, [0, 0, 1, 2, 3, 4]),
        (2, [0, 0, 0, 1, 2, 3]),
        (9, [0, 0, 0, 0, 0, 0]),
    ],
)
def test_step_s_is_sampled_by_the_weights_after_s_minus_ahead_updates(
    ahead: int, versions: list[int]
) -> None:
    """0 is the synchronous run; more is that many updates stale, but for the first steps."""
    sampler = RecordingSampler()
    with Prefetcher(sampler, prompts_of, schedule=Schedule(ahead), steps=6) as rollouts:
        batches = [sampled.batch for sampled in run(rollouts, 6)]

    assert list(enumerate(versions)) == sampler.seen
    assert list(range(6)) == [batch.step for batch in batches]
    assert [f"post {step}" for step in range(6)] == [
        batch.groups[0].prompt.example.id for batch in batches
    ]


def test_the_next_step_is_sampled_while_this_one_is_worked_on() -> None:
    """With ahead=1, step 1 is sampled before the update of step 0 has published anything."""
    second = threading.Event()
    sampler = RecordingSampler(lambda step: second.set() if step == 1 else None)
    with Prefetcher(sampler, prompts_of, schedule=Schedule(1), steps=3) as rollouts:
        rollouts.publish(Snapshot({}, version=0))
        rollouts.next_batch()
        assert second.wait(timeout=10)
    assert [(0, 0), (1, 0)] == sampler.seen


@pytest.mark.parametrize("error", [RolloutError("no rollouts"), TimeoutError("of its own")])
def test_a_failure_surfaces_at_the_step_it_belongs_to(error: Exception) -> None:
    """A sampler's own TimeoutError is one of them, and no reason to go on waiting."""

    def fail(step: int) -> None:
        if step == 2:
            raise error

    with Prefetcher(RecordingSampler(fail), prompts_of, schedule=Schedule(0), steps=5) as rollouts:
        assert [0, 1] == [sampled.batch.step for sampled in run(rollouts, 2)]
        rollouts.publish(Snapshot({}, version=2))
        with pytest.raises(type(error)) as caught:
            rollouts.next_batch()
    assert error is caught.value


@pytest.mark.parametrize("call", ["publish", "next_batch"])
def test_a_failure_further_ahead_surfaces_with_the_next_call(call: str) -> None:
    """Steps 0 and 1 are there; but what follows will never be, so nothing more is trained."""
    failed = threading.Event()

    def fail(step: int) -> None:
        if step == 2:
            failed.set()
            raise RolloutError("no rollouts")

    with Prefetcher(RecordingSampler(fail), prompts_of, schedule=Schedule(3), steps=5) as rollouts:
        rollouts.publish(Snapshot({}, version=0))
        assert failed.wait(10)
        while not rollouts._jobs[2].done():
            time.sleep(0.001)
        with pytest.raises(RolloutError, match="no rollouts"):
            rollouts.publish(Snapshot({}, version=1)) if call == "publish" else (
                rollouts.next_batch()
            )


def test_leaving_cuts_a_sampler_short_that_waits_itself() -> None:
    """As one does whose workers are all down: leaving must not take its patience."""
    waiting, closed = threading.Event(), threading.Event()

    class Patient(RecordingSampler):
        def close(self) -> None:
            closed.set()

    def wait(step: int) -> None:
        waiting.set()
        if not closed.wait(60):
            raise AssertionError("nobody closed the sampler")
        raise RolloutError("sampling was stopped")

    with (
        pytest.raises(KeyboardInterrupt),
        Prefetcher(Patient(wait), prompts_of, schedule=Schedule(0), steps=1) as rollouts,
    ):
        rollouts.publish(Snapshot({}, version=0))
        assert waiting.wait(10)
        raise KeyboardInterrupt
    assert closed.is_set()


def test_after_a_failure_nothing_more_is_begun() -> None:
    """Step 1 is queued behind step 0, which fails; leaving does not start it either."""

    def fail(step: int) -> None:
        raise RolloutError("no rollouts")

    sampler = RecordingSampler(fail)
    with Prefetcher(sampler, prompts_of, schedule=Schedule(3), steps=4) as rollouts:
        rollouts.publish(Snapshot({}, version=0))
        with pytest.raises(RolloutError, match="no rollouts"):
            rollouts.next_batch()
    assert [(0, 0)] == sampler.seen


def test_leaving_waits_for_the_sampling_in_flight_and_starts_no_more() -> None:
    """After the block nothing computes any more, and what was queued is dropped."""
    started, finished = threading.Event(), []

    def slow(step: int) -> None:
        started.set()
        time.sleep(0.2)
        finished.append(step)

    sampler = RecordingSampler(slow)
    with (
        pytest.raises(ZeroDivisionError),
        Prefetcher(sampler, prompts_of, schedule=Schedule(4), steps=5) as rollouts,
    ):
        rollouts.publish(Snapshot({}, version=0))
        started.wait(timeout=10)
        raise ZeroDivisionError

    assert [0] == finished
    assert [(0, 0)] == sampler.seen


def test_a_stall_says_what_it_is_waiting_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Again and again while it lasts, and not otherwise; steps are counted from 1."""
    monkeypatch.setattr(progress, "STALL_SECONDS", 0.05)
    sampler = RecordingSampler(lambda step: time.sleep(0.3) if step == 1 else None)
    with (
        caplog.at_level(logging.WARNING),
        Prefetcher(sampler, prompts_of, schedule=Schedule(0), steps=3) as rollouts,
    ):
        run(rollouts, 3)

    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) >= 2
    assert all(line.startswith("step 2 waits") and "rollouts" in line for line in lines)


def test_sampling_and_waiting_are_timed_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sampling takes 3 seconds of a clock that nothing else moves. The first step is waited for,
    all of the time; the second is there when the loop, busy until then, asks for it."""
    now = 0.0
    waiting, busy, there = (threading.Event() for _ in range(3))

    def clock() -> float:
        if threading.current_thread() is threading.main_thread():
            waiting.set()
        return now

    def sample(step: int) -> None:
        nonlocal now
        assert (busy if step else waiting).wait(timeout=10)
        now += 3
        if step:
            there.set()

    monkeypatch.setattr(prefetch, "time", SimpleNamespace(perf_counter=clock))
    sampler = RecordingSampler(sample)
    with Prefetcher(sampler, prompts_of, schedule=Schedule(1), steps=2) as rollouts:
        rollouts.publish(Snapshot({}, version=0))
        first = rollouts.next_batch()
        busy.set()
        assert there.wait(timeout=10)
        second = rollouts.next_batch()

    assert (3, 3) == (first.sampling_seconds, first.waiting_seconds)
    assert (3, 0) == (second.sampling_seconds, second.waiting_seconds)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in /proc")
def test_a_long_run_starts_no_thread_a_step() -> None:
    """MLX keeps a thread for each stream that was ever made: a stream a step was a leak."""
    counts: list[int] = []

    def compute(step: int) -> None:
        mx.eval(mx.ones(8) + step)
        counts.append(len(os.listdir("/proc/self/task")))

    sampler = RecordingSampler(compute)
    with Prefetcher(sampler, prompts_of, schedule=Schedule(1), steps=30) as rollouts:
        run(rollouts, 30)

    assert counts[-1] - counts[5] < 10  # 24 steps lie between
