"""A thousand steps as training does them, with workers that fail by chance: rollouts are sampled
ahead, and the weights are written, offered, fetched over HTTP and probed. What is not here are
the model, whose part the workers' log-probabilities play, and the update."""

import asyncio
import gc
import os
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_receivers import MarkScorer, ReceivingWorker, Trouble, marked, with_mark
from fake_workers import STOP, Fault, completion

from tersely.policy.load import load_policy
from tersely.records import Batch, Example, Prompt
from tersely.rollout.prefetch import Prefetcher
from tersely.rollout.staleness import Schedule
from tersely.rollout.vllm import sampler as sampler_module
from tersely.rollout.vllm.config import VllmConfig
from tersely.rollout.vllm.fleet.roster import Waits
from tersely.rollout.vllm.loop import LoopThread
from tersely.rollout.vllm.publishing import weights
from tersely.rollout.vllm.records import Sampling
from tersely.rollout.vllm.sampler import SEED_BITS, VllmSampler
from tersely.rollout.vllm.serving.worker_side import fetching
from tersely.seeds import derive
from tersely.training.order import PromptOrder

STEPS, PER_STEP, GROUP, EPOCH, WORKERS = 1000, 2, 4, 125, 3
"""Steps, prompts a step, rollouts a prompt, prompts in all: 16 epochs of 62.5 steps."""
WARM = 200
"""Steps after which nothing may grow any more."""
SEED, MAX_TOKENS = 5, 24
SOUND = 8
"""Things that a worker does well between two that fail: failing at all of them in a row would say
that it is set up wrongly, which ends a run, as it should."""
PROMPTS = [
    Prompt(Example(f"post {place}", "words", ("a reference",)), (5, 600 + place))
    for place in range(EPOCH)
]


class Chance:
    """What befalls one worker, from one seed."""

    def __init__(self, seed: int) -> None:
        self._random, self._sound = random.Random(seed), 0
        self.met: Counter[str] = Counter()
        self.stopped = False

    def of_a_request(self) -> Fault | None:
        # Refused by all is the end of a run too; seen in the tests of the fleet.
        return self._one_of([fault for fault in Fault if fault is not Fault.refused], 0.03)

    def of_new_weights(self) -> Trouble | None:
        return self._one_of(list(Trouble), 0.05)

    async def between_steps(self, worker: ReceivingWorker) -> None:
        worker.asked.clear()
        if self.stopped and self._random.random() < 0.2:
            await worker.start()
            self.stopped = False
        elif not self.stopped and self._random.random() < 0.01:
            await worker.stop()
            self.stopped = True
            self.met["stopped"] += 1

    def _one_of[Kind: (Fault, Trouble)](self, kinds: list[Kind], share: float) -> Kind | None:
        self._sound += 1
        if self._sound <= SOUND or self._random.random() >= share:
            return None
        self._sound = 0
        kind = self._random.choice(kinds)
        self.met[kind.name] += 1
        return kind
