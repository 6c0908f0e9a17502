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
LONGER = 16
"""Of one by which a worker is held against two versions: what it rounds is now nearer to the one
and now to the other, over four tokens to the wrong one in one of a hundred probes."""
EXACT = 1e-4
"""Nats up to which a worker has these weights, whatever it had before: float32 is off by some
1e-6. One update may move log-probabilities by less; then neither version can be told."""

KNOWN_EXACT = EXACT / 5
"""A worker that was once as near as this computes in float32, so it has other weights when it is
more than `EXACT` off: those of several small updates ago, which no two versions tell."""

TELLING = -0.1
"""Log-probability up to which a token tells that: where it is nearly 0, all precisions agree.
Three such tokens do not agree by chance in bfloat16, once in ten million probes."""


class Stale(WorkerFault):
    """A worker was given weights, and samples with older ones."""


class Probe:
    """A short completion that a worker samples and the trainer scores."""

    def __init__(
        self, prompt: Sequence[int], temperature: float, vocabulary: int = 1 << 31
    ) -> None:
        """`vocabulary` is how many ids the trainer can score."""
        self._prompt, self._temperature = tuple(prompt), temperature
        self._vocabulary = vocabulary
        self._known_exact: set[str] = set()
        self._scoring = ThreadPoolExecutor(1, thread_name_prefix="probe")

    async def difference(
        self, worker: Worker, published: Published, dialect: Dialect, *, seed: int
    ) -> float:
        """Mean absolute difference of the worker's log-probabilities and the trainer's, in nats
        a token; each `seed` is another completion.

        Raises `WorkerFault`; `WrongVersion` where the worker says that it has other weights, and
        `Stale` where it says nothing and is nearer to the version before, or not as near to this
        one as it has been to others.
        """
        completion = await self._sampled(worker, published, dialect, seed, TOKENS)
        own = await self._scored(published.score, completion)
        apart = _apart(completion.logprobs, own)
        if apart <= KNOWN_EXACT and worker.url not in self._known_exact:
            longer = await self._sampled(worker, published, dialect, seed, LONGER)
            own = await self._scored(published.score, longer)
            telling = sum(each <= TELLING for each in own) >= 3
            if telling and _apart(longer.logprobs, own) <= KNOWN_EXACT:
                self._known_exact.add(worker.url)
        if apart <= EXACT or published.before is None:
            return apart
        completion = await self._sampled(worker, published, dialect, seed, LONGER)
        # In this order, because the scorer keeps the weights that it scored with last.
        before = await self._scored(published.before, completion)
        own = await self._scored(published.score, completion)
        apart, gap = _apart(completion.logprobs, own), _apart(own, before)
        apart_before = _apart(completion.logprobs, before)
        # By the triangle inequality it is then further than that from the new version.
        if apart_before < gap / 2:
            raise Stale(
                worker.url,
                f"samples with the version before: its log-probabilities are {apart_before:.2g} "
                f"nats a token off those and {apart:.2g} off the new ones",
            )
        if apart > EXACT and worker.url in self._known_exact:
            raise Stale(
                worker.url,
                "samples with other weights (an older version, another trainer's), or in another "
                f"precision than it did: its log-probabilities are {apart:.2g} nats a token off, "
                f"and were {KNOWN_EXACT:g} or less",
            )
        return apart

    async def _sampled(
        self, worker: Worker, published: Published, dialect: Dialect, seed: int, tokens: int
    ) -> Completion:
        share = Share(group=0, first=0, count=1, prompt=self._prompt, seed=seed)
        # Without tokens to stop at, because one token alone would say little.
        sampling = Sampling(tokens, self._temperature, (), self._vocabulary)
        (completion,) = await worker.sample(share, sampling, tag=published.tag, dialect=dialect)
        return completion

    async def _scored(self, score: Score, completion: Completion) -> list[float]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._scoring, score, self._prompt, completion.token_ids)

    def close(self) -> None:
        """End its thread; waits for a score that is being computed."""
        self._scoring.shutdown()


def _apart(one: Sequence[float], other: Sequence[float]) -> float:
    """Mean absolute difference."""
    return fmean(abs(a - b) for a, b in zip(one, other, strict=True))
