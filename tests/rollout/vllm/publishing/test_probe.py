"""What a probe says of workers that round. The log-probabilities are numbers drawn here, a new set
for each completion, and no worker is asked over HTTP."""

import asyncio
import random
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from tersely.rollout.vllm.fleet.replies import Dialect
from tersely.rollout.vllm.fleet.worker import Worker
from tersely.rollout.vllm.publishing.probe import LONGER, TOKENS, Probe, Stale
from tersely.rollout.vllm.records import Completion, Published, Sampling, Score, Share

NOISE = 0.01
"""Standard deviation of a token's rounding in bfloat16, in nats."""


class Rounding(Worker):
    """A worker that samples with the new weights or with those before, but for `NOISE`. Updates
    move the log-probability of a token by `gap`, as a standard deviation."""

    def __init__(self, gap: float, *, stale: bool, noise: float = NOISE) -> None:
        super().__init__("http://127.0.0.1:1", timeout_s=1)
        self.gap, self.stale, self.noise = gap, stale, noise
        self.asked: list[int] = []
        self.scored: list[str] = []
        self.drawn = random.Random(5)
        self.new: list[float] = []
        self.before: list[float] = []
        self.draw = lambda count: [self.drawn.uniform(-4.0, -2.0) for _ in range(count)]

    async def sample(
        self, share: Share, sampling: Sampling, *, tag: str, dialect: Dialect
    ) -> list[Completion]:
        count = sampling.max_tokens
        self.asked.append(count)
        self.new = self.draw(count)
        self.before = [each + self.drawn.gauss(0.0, self.gap) for each in self.new]
        has = self.before if self.stale else self.new
        logprobs = tuple(each + self.drawn.gauss(0.0, self.noise) for each in has)
        return [Completion((1,) * count, logprobs, "length")]

    def score(self, prompt: Sequence[int], completion: Sequence[int]) -> list[float]:
        self.scored.append("new")
        return self.new

    def score_before(self, prompt: Sequence[int], completion: Sequence[int]) -> list[float]:
        self.scored.append("before")
        return self.before


@pytest.fixture
def probe() -> Iterator[Probe]:
    with closing(Probe((5, 6), 1.0)) as probe:
        yield probe


def accusations(probe: Probe, worker: Rounding, publications: int) -> int:
    """How often it is said to have kept the weights before."""
    published = Published(7, "run-7", Path(), {}, score=worker.score, before=worker.score_before)

    async def main() -> int:
        count = 0
        for seed in range(publications):
            try:
                await probe.difference(worker, published, Dialect.tagged, seed=seed)
            except Stale:
                count += 1
        return count

    return asyncio.run(main())


@pytest.mark.parametrize("gap", [NOISE / 2, NOISE, 2 * NOISE])
def test_rounding_is_not_taken_for_weights_that_did_not_take(probe: Probe, gap: float) -> None:
    """A run of a thousand updates that move log-probabilities by about as much as the worker
    rounds. Over four tokens, noise is nearer to the version before in 5 to 15 of them."""
    assert 0 == accusations(probe, Rounding(gap, stale=False), 1000)


def test_weights_that_did_not_take_are_told_from_rounding(probe: Probe) -> None:
    """Updates that move three times as much as the worker rounds, which is what the default
    learning rate does to the embedded model."""
    assert accusations(probe, Rounding(3 * NOISE, stale=True), 100) >= 85


def test_a_worker_that_is_exact_is_asked_for_little(probe: Probe) -> None:
    """And for more once, to be sure of it."""
    worker = Rounding(0.03, stale=False, noise=1e-6)
    assert 0 == accusations(probe, worker, 3)
    assert [TOKENS, LONGER, TOKENS, TOKENS] == worker.asked


def test_one_that_is_not_is_asked_for_more(probe: Probe) -> None:
    worker = Rounding(0.03, stale=True, noise=1e-6)
    assert 3 == accusations(probe, worker, 3)
    assert [TOKENS, LONGER] * 3 == worker.asked


def test_the_newest_weights_are_the_last_to_be_scored_with(probe: Probe) -> None:
    """The trainer's scorer keeps the last ones in memory until it is asked again."""
    worker = Rounding(0.03, stale=False)
    assert 0 == accusations(probe, worker, 1)
    assert ["new", "before", "new"] == worker.scored


@pytest.mark.parametrize(("first", "accused"), [(5e-6, [2]), (5e-5, [])])
def test_small_updates_that_never_take_are_found_out_together(
    probe: Probe, first: float, accused: list[int]
) -> None:
    """Each moves 6e-5 nats, and the worker stays where it was. Of the first it is 6e-5 off, at
    most 1e-4; of the second 1.2e-4, and 6e-5 off the one before, which is no less than half of
    6e-5. But it was 5e-6 off before. Of one that never was that near nothing can be said."""
    worker = Rounding(0.0, stale=False, noise=0.0)

    async def main() -> list[int]:
        found = []
        for version in range(3):

            def moved(by: float) -> Score:
                return lambda prompt, completion: [each + by for each in worker.new]

            published = Published(
                version,
                "run",
                Path(),
                {},
                score=moved(max(first, 6e-5 * version)),
                before=moved(6e-5 * (version - 1)) if version else None,
            )
            try:
                await probe.difference(worker, published, Dialect.tagged, seed=0)
            except Stale as fault:
                assert "older version" in fault.what
                found.append(version)
        return found

    assert accused == asyncio.run(main())


def test_of_tokens_that_are_certain_every_precision_says_the_same(probe: Probe) -> None:
    """So a worker that rounds does not count as exact after a completion with two of
    them."""
    worker = Rounding(0.0, stale=False, noise=0.0)
    worker.draw = lambda count: [-3.0, -3.0] + [-1e-6] * (count - 2)
    assert 0 == accusations(probe, worker, 3)
    worker.noise, worker.gap = NOISE, NOISE
    worker.draw = lambda count: [-3.0] * count
    assert 0 == accusations(probe, worker, 100)
