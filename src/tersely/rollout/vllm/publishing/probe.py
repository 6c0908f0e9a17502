"""Whether a worker samples with the weights that it was given: its word against the trainer's."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tersely.rollout.vllm.fleet.replies import Dialect
from tersely.rollout.vllm.fleet.worker import Worker
from tersely.rollout.vllm.records import Published, Sampling, Share

TOKENS = 4
"""Of a probe. Other weights are off by tenths of a nat at nearly every token."""


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

        Raises `WorkerFault`; `WrongVersion` where the worker has other weights.
        """
        share = Share(group=0, first=0, count=1, prompt=self._prompt, seed=seed)
        # Without tokens to stop at, because one token alone would say little.
        sampling = Sampling(TOKENS, self._temperature, stop_token_ids=())
        (completion,) = await worker.sample(share, sampling, tag=published.tag, dialect=dialect)
        loop = asyncio.get_running_loop()
        own = await loop.run_in_executor(
            self._scoring, published.score, self._prompt, completion.token_ids
        )
        apart = [abs(one - other) for one, other in zip(completion.logprobs, own, strict=True)]
        return sum(apart) / len(apart)

    def close(self) -> None:
        """End its thread; waits for a score that is being computed."""
        self._scoring.shutdown()
