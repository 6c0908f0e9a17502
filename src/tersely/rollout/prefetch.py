"""Sample the next steps' rollouts in the background while this step's gradients are computed."""

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from itertools import takewhile
from types import TracebackType
from typing import NamedTuple, Self

import mlx.core as mx

from tersely.errors import RolloutError
from tersely.progress import watched
from tersely.records import Batch, Prompt
from tersely.rollout.sampler import Sampler, Snapshot
from tersely.rollout.staleness import Schedule

log = logging.getLogger(__name__)

LOOK_AROUND_S = 0.2
"""Seconds of waiting between two looks whether there is anything left to wait for."""


class Sampled(NamedTuple):
    """The rollouts of one step, and what they cost."""

    batch: Batch
    sampling_seconds: float
    """Spent sampling, in whichever thread."""
    waiting_seconds: float
    """Time for which the training loop had nothing to do but wait."""
    metrics: dict[str, float]
    """What the sampler has to say; see `Sampler.metrics`."""


class _Done(NamedTuple):
    batch: Batch
    seconds: float
    metrics: dict[str, float]


class Prefetcher:
    """Hands out the batches of consecutive steps, sampled as early as the schedule has it.

    Use as a context manager: leaving it closes the sampler and waits for what is in flight. A
    failure in the background is raised by the next call. At most the steps that are allowed to
    be sampled with the published weights are queued: `max_staleness / updates_per_step + 1`.
    """

    def __init__(
        self,
        sampler: Sampler,
        prompts_of: Callable[[int], Sequence[Prompt]],
        *,
        schedule: Schedule,
        steps: int,
        first: int = 0,
        in_flight: Sequence[Sampled] = (),
    ) -> None:
        """Steps `first` to `steps - 1`; `prompts_of(step)` gives a step's prompts. `in_flight`
        are the batches of the first of them, sampled earlier; see `in_flight()`."""
        self._sampler, self._prompts_of = sampler, prompts_of
        self._schedule, self._steps = schedule, steps
        self._next, self._queued = first, first + len(in_flight)
        self._waited = 0.0
        """Seconds for the next batch, so far."""
        self._stopped = False
        """Set once sampling has failed or is over: what is queued then is not begun."""
        self._jobs: deque[Future[_Done]] = deque(map(_done, in_flight))
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rollouts")
        # One for all steps: MLX keeps a thread for every stream until the process ends.
        self._stream = mx.new_thread_local_stream(mx.default_device())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Before waiting: a sampler may be waiting itself, for workers that are all down.
        self._stopped = True
        self._sampler.close()
        if any(job.running() for job in self._jobs):
            log.info("waiting for the rollouts that are being sampled now")
        self._pool.shutdown(wait=True, cancel_futures=True)

    def publish(self, snapshot: Snapshot) -> None:
        """Offer new weights; queues every step that the schedule samples with them. Raises what
        sampling ahead has raised."""
        self._raise_failure()
        while (
            self._queued < self._steps
            # Below it only where a run goes on without what was in flight when it stopped.
            and self._schedule.version_for(self._queued) <= snapshot.version
        ):
            self._jobs.append(self._pool.submit(self._sample, self._queued, snapshot))
            self._queued += 1

    def next_batch(self) -> Sampled:
        """The next step's batch, waiting for it if need be. Raises what sampling raised, be it
        at this step or at a later one."""
        self._raise_failure()
        self.come()
        batch, seconds, metrics = self._jobs.popleft().result()
        waited, self._waited = self._waited, 0.0
        self._next += 1
        return Sampled(batch, seconds, waited, metrics)

    def come(self, unless: Callable[[], bool] = lambda: False) -> bool:
        """Wait until `next_batch` has something to give or to raise; False where `unless()`
        turns true before."""
        began = time.perf_counter()
        with watched(f"step {self._next + 1} waits for its rollouts, which are being sampled"):
            while not (given_up := unless()) and not wait([self._jobs[0]], LOOK_AROUND_S).done:
                self._raise_failure()
        self._waited += time.perf_counter() - began
        return not given_up

    def in_flight(
        self,
        version: int,
        wait_s: float = math.inf,
        unless: Callable[[], bool] = lambda: False,
    ) -> list[Sampled]:
        """The next steps' batches that weights older than `version` sample, in order, waiting for
        them: whoever goes on with `version` has those weights no more, and samples the others
        again. Fewer where they are not there after `wait_s` seconds, where `unless()` turns true
        before, or where sampling has failed."""
        old = [
            job
            for step, job in enumerate(self._jobs, start=self._next)
            if self._schedule.version_for(step) < version
        ]
        until = time.monotonic() + wait_s
        with watched("a checkpoint waits for the rollouts that are being sampled"):
            while not unless() and (left := until - time.monotonic()) > 0:
                if not wait(old, min(left, LOOK_AROUND_S), FIRST_EXCEPTION).not_done:
                    break
                if any(map(_failed, old)):
                    break
        whole = takewhile(lambda job: job.done() and not _failed(job), old)
        return [Sampled(*job.result()[:2], 0.0, job.result().metrics) for job in whole]

    def _raise_failure(self) -> None:
        for job in self._jobs:
            if job.done():
                job.result()

    def _sample(self, step: int, snapshot: Snapshot) -> _Done:
        if self._stopped:
            raise RolloutError("sampling was stopped")
        began = time.perf_counter()
        try:
            with mx.stream(self._stream):
                groups = self._sampler.sample(self._prompts_of(step), snapshot, step)
        except BaseException:
            self._stopped = True
            raise
        return _Done(Batch(step, groups), time.perf_counter() - began, self._sampler.metrics())


def _done(sampled: Sampled) -> Future[_Done]:
    job: Future[_Done] = Future()
    job.set_result(_Done(sampled.batch, sampled.sampling_seconds, sampled.metrics))
    return job


def _failed(job: Future[_Done]) -> bool:
    return job.done() and (job.cancelled() or job.exception() is not None)
