"""A thousand steps with workers that fail by chance, drawn from a seed."""

import asyncio
import contextlib
import gc
import logging
import os
import random
from collections import Counter
from pathlib import Path

import pytest
from fake_workers import FakeWorker, Fault, bring, completion, running, weights

from tersely.records import Example, Prompt
from tersely.rollout.vllm.fleet.fleet import Fleet
from tersely.rollout.vllm.fleet.replies import Dialect
from tersely.rollout.vllm.fleet.roster import Waits
from tersely.rollout.vllm.fleet.shares import Request
from tersely.rollout.vllm.fleet.worker import Worker
from tersely.rollout.vllm.records import Sampling
from tersely.training.order import PromptOrder

STEPS, PER_STEP, GROUP, EPOCH = 1000, 2, 4, 125
"""Steps, prompts a step, rollouts a prompt, prompts in all: 16 epochs of 62.5 steps."""
WARM = 200
"""Steps after which nothing may grow any more."""
COUNTED = (*range(WARM, 2 * WARM, 20), *range(STEPS - WARM, STEPS, 20))
"""Steps after which all that is in memory is counted."""
SAMPLING = Sampling(max_tokens=24, temperature=1.0, stop_token_ids=(0,))
PROMPTS = [
    Prompt(Example(f"post {place}", "words", ("a reference",)), (5, 600 + place))
    for place in range(EPOCH)
]


class Chance:
    """Faults for about one request in fifty, servers that stop and start, and some that take no
    weights for a while: all from one seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.met: Counter[str] = Counter()

    def of_a_request(self) -> Fault | None:
        if self._random.random() >= 0.02:
            return None
        fault = self._random.choice(list(Fault))
        # Refused by all is the end of a run, as it should be; seen in the tests of the fleet.
        fault = Fault.unavailable if fault is Fault.refused else fault
        self.met[fault.name] += 1
        return fault

    async def between_steps(self, fakes: list[FakeWorker], stopped: set[FakeWorker]) -> None:
        for fake in fakes:
            if fake in stopped:
                if self._random.random() < 0.3:
                    # A connection of this very process may have its port for the moment.
                    with contextlib.suppress(OSError):
                        await fake.start()
                        stopped.remove(fake)
            elif self._random.random() < 0.01 and len(stopped) < len(fakes) - 1:
                await fake.stop()
                stopped.add(fake)
                self.met["stopped"] += 1
            fake.bring_status = 503 if self._random.random() < 0.01 else 200


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def resident() -> float:
    """MB of memory that the process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are counted in /proc")
def test_a_thousand_steps_lose_nothing_and_leak_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Each group is whole, of its own prompt and its own seeds, and every prompt comes once an
    epoch; weights change every second step. What is kept does not grow from steps 200 to 400 to
    the last 200: an object that each step leaves behind would be 600 objects."""
    # pytest keeps what is logged: on a slow machine, more warnings than this test may find kept.
    caplog.set_level(logging.CRITICAL, logger="tersely")
    chance = Chance(seed=5)
    fakes = [FakeWorker(chance.of_a_request) for _ in range(4)]
    order = PromptOrder(PROMPTS, PER_STEP, seed=3)
    seen: Counter[str] = Counter()
    tasks: list[int] = []
    files: list[int] = []
    objects: list[int] = []
    memory: list[float] = []

    async def step(fleet: Fleet, number: int) -> None:
        prompts = order(number)
        if number % 2 == 0:
            await fleet.publish(weights(number // 2))
        requests = [
            Request(prompt.token_ids, GROUP, (number * PER_STEP + place) * 1000)
            for place, prompt in enumerate(prompts)
        ]
        groups = await fleet.sample(requests, SAMPLING)
        assert [
            [completion(request.prompt, request.seed + place, SAMPLING) for place in range(GROUP)]
            for request in requests
        ] == groups
        seen.update(prompt.example.id for prompt in prompts)

    async def soak() -> None:
        workers = [Worker(fake.url, timeout_s=0.2) for fake in fakes]
        waits = Waits(patience_s=10, first_probe_s=0.002, longest_probe_s=0.02)
        fleet = Fleet(workers, bring, dialect=Dialect.tagged, requests_per_worker=4, waits=waits)
        stopped: set[FakeWorker] = set()
        for number in range(STEPS):
            await chance.between_steps(fakes, stopped)
            await step(fleet, number)
            for fake in fakes:
                fake.asked.clear()
            tasks.append(len(asyncio.all_tasks()))
            files.append(open_files())
            if number in COUNTED:
                gc.collect()
                objects.append(len(gc.get_objects()))
                memory.append(resident())
        counts = fleet.counts
        assert counts.retried > 50 and counts.discarded > 0 and counts.faults > 50
        await fleet.close()

    async def whole() -> None:
        async with asyncio.timeout(400), running(*fakes):
            await soak()
        assert {asyncio.current_task()} == asyncio.all_tasks()

    gc.collect()  # what earlier tests have left open
    before = open_files()
    asyncio.run(whole())

    assert {post.example.id: STEPS * PER_STEP // EPOCH for post in PROMPTS} == dict(seen)
    assert set(Fault.__members__) - {"refused"} | {"stopped"} == set(chance.met)
    assert before == open_files()
    assert max(tasks[WARM:]) < max(tasks[:WARM]) + 10
    assert max(files[WARM:]) < max(files[:WARM]) + 20
    # The least of two fifths: what a request that is just given up holds comes and goes.
    half = len(COUNTED) // 2
    assert min(objects[half:]) - min(objects[:half]) < (STEPS - 2 * WARM) / 2
    assert min(memory[half:]) - min(memory[:half]) < 20
