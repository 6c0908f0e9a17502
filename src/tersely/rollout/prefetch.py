"""Sample the next steps' rollouts in the background while this step's gradients are computed.

Which weights sample a step is a schedule, not a race: the rollouts of step `s` come from the
weights after `max(0, s - prefetch)` steps, however fast either side is. A run can therefore
be repeated bit for bit, and `prefetch=0` is the synchronous run.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import NamedTuple, Self

import mlx.core as mx

from tersely.progress import watched
from tersely.records import Batch, Prompt
from tersely.rollout.sampler import Sampler, Snapshot

log = logging.getLogger(__name__)


class Sampled(NamedTuple):
    """The rollouts of one step, and what they cost."""

    batch: Batch
    sampling_seconds: float
    """Spent sampling, in whichever thread."""
    waiting_seconds: float
    """Time for which the training loop had nothing to do but wait."""


class Prefetcher:
    """Hands out the batches of consecutive steps, sampled up to `ahead` steps early.

    Use as a context manager: leaving it waits for the sampling in flight. A failure in the
    background is raised by `next_batch` at the step it belongs to.
    """

    def __init__(
        self,
        sampler: Sampler,
        prompts_of: Callable[[int], Sequence[Prompt]],
        *,
        ahead: int,
        steps: int,
    ) -> None:
        """Steps 0 to `steps - 1`; `prompts_of(step)` gives a step's prompts."""
        self._sampler, self._prompts_of = sampler, prompts_of
        self._ahead, self._steps = ahead, steps
        self._next = self._queued = 0
        self._jobs: deque[Future[tuple[Batch, float]]] = deque()
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
        if any(job.running() for job in self._jobs):
            log.info("waiting for the rollouts that are being sampled now")
        self._pool.shutdown(wait=True, cancel_futures=True)

    def publish(self, snapshot: Snapshot) -> None:
        """Offer new weights; queues every step that the schedule samples with them."""
        while self._queued < self._steps and self._version_for(self._queued) == snapshot.version:
            self._jobs.append(self._pool.submit(self._sample, self._queued, snapshot))
            self._queued += 1

    def _version_for(self, step: int) -> int:
        return max(0, step - self._ahead)

    def next_batch(self) -> Sampled:
        """The next step's batch, waiting for it if need be. Raises what sampling raised."""
        job = self._jobs.popleft()
        began = time.perf_counter()
        with watched(f"step {self._next + 1} waits for its rollouts, which are being sampled"):
            batch, seconds = job.result()
        self._next += 1
        return Sampled(batch, seconds, time.perf_counter() - began)

    def _sample(self, step: int, snapshot: Snapshot) -> tuple[Batch, float]:
        began = time.perf_counter()
        with mx.stream(self._stream):
            groups = self._sampler.sample(self._prompts_of(step), snapshot, step)
        return Batch(step, groups), time.perf_counter() - began
