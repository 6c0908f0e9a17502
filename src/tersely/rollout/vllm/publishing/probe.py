"""Whether a worker samples with the weights that it was given: its word against the trainer's."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import fmean

from tersely.rollout.vllm.fleet.replies import Dialect
from tersely.rollout.vllm.fleet.worker import Worker
from tersely.rollout.vllm.records import Completion, Published, Sampling, Score, Share, WorkerFault

TOKENS = 4
"""Of a probe. Another model is off by tenths of a nat at nearly every token; the weights before
one update by as little as the update changes, some hundredths of a nat or less."""
EXACT = 1e-4
"""Nats up to which a worker has these weights, whatever it had before: float32 is off by some
1e-6. One update may move log-probabilities by less; then neither version can be told."""


class Stale(WorkerFault):
    """A worker was given weights, and samples with those of the version before."""


class Probe:
    """A short completion that a worker samples and the trainer scores."""

    def __init__(self, prompt: Sequence[int], temperature: float) -> None:
        self._prompt, self._temperature = tuple(prompt), temperature
        self._scoring = ThreadPoolExecutor(1, thread_name_prefix="probe")

    async def difference(
        self, worker: Worker, published: Published, dialect: Dialect, *, seed: int
    ) -> float:
        """Mean absolute difference of the worker's log-probabilities and the trainer's, in nats
        a token; each `seed` is another completion.

        Raises `WorkerFault`; `WrongVersion` where the worker says that it has other weights, and
        `Stale` where it says nothing and is nearer to the version before.
        """
        share = Share(group=0, first=0, count=1, prompt=self._prompt, seed=seed)
        # Without tokens to stop at, because one token alone would say little.
        sampling = Sampling(TOKENS, self._temperature, stop_token_ids=())
        (completion,) = await worker.sample(share, sampling, tag=published.tag, dialect=dialect)
        own = await self._scored(published.score, completion)
        apart = _apart(completion.logprobs, own)
        if published.before is not None and not apart <= EXACT:
            before = await self._scored(published.before, completion)
            apart_before, gap = _apart(completion.logprobs, before), _apart(own, before)
            # By the triangle inequality it is then further than that from the new version. A
            # sound worker that rounds by more than the gap is about as far from both.
            if apart_before < gap / 2:
                raise Stale(
                    worker.url,
                    f"its log-probabilities are {apart_before:.2g} nats a token off those of the "
                    f"version before and {apart:.2g} off those of version {published.version}",
                )
        return apart

    async def _scored(self, score: Score, completion: Completion) -> list[float]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._scoring, score, self._prompt, completion.token_ids)

    def close(self) -> None:
        """End its thread; waits for a score that is being computed."""
        self._scoring.shutdown()


def _apart(one: Sequence[float], other: Sequence[float]) -> float:
    """Mean absolute difference."""
    return fmean(abs(a - b) for a, b in zip(one, other, strict=True))
