"""Stand-ins for vLLM servers, for a trainer in another process: they fetch what it publishes and
sample made-up completions that end by themselves."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from fake_receivers import ReceivingWorker, marked

from tersely.rollout.vllm.loop import LoopThread
from tersely.rollout.vllm.records import Completion, Sampling


class StandIn(ReceivingWorker):
    """One such server."""

    def sampled(self, prompt: Sequence[int], seed: int, sampling: Sampling) -> Completion:
        """A few tokens, others for each seed, and an end of turn."""
        if not sampling.stop_token_ids:
            return super().sampled(prompt, seed, sampling)
        said = (300 + (seed + place) % 50 for place in range(seed % 7 + 1))
        ids = (*said, sampling.stop_token_ids[0])
        return Completion(ids, marked(ids, self._mark), "stop")


@contextmanager
def stand_ins(count: int) -> Iterator[list[str]]:
    """Addresses of so many, on a loop of their own."""
    workers, loop = [StandIn() for _ in range(count)], LoopThread("stand-ins")
    try:
        for worker in workers:
            loop.run(worker.start())
        yield [worker.url for worker in workers]
    finally:
        for worker in workers:
            loop.run(worker.stop())
        loop.close()
