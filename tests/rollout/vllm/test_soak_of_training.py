"""A thousand steps as training does them, with workers that fail by chance: rollouts are sampled
ahead, and the weights are written, offered, fetched over HTTP and probed. What is not here are
the model, whose part the workers' log-probabilities play, and the update."""

import asyncio
import contextlib
import gc
import logging
import os
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import pytest
from fake_receivers import MarkScorer, ReceivingWorker, Trouble, mark_of, marked, with_mark
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
from tersely.rollout.vllm.sampler import SEED_BITS
from tersely.rollout.vllm.serving.worker_side import fetching
from tersely.seeds import derive
from tersely.training.order import PromptOrder

STEPS, PER_STEP, GROUP, EPOCH, WORKERS = 1000, 2, 4, 125, 3
"""Steps, prompts a step, rollouts a prompt, prompts in all: 16 epochs of 62.5 steps."""
WARM, LOOKS, APART = 200, 5, 10
"""Steps after which nothing may grow any more; what is there is looked at as many times then and at
the end, so many steps apart, and the least counts: one look may find a worker just coming back."""
SEED, MAX_TOKENS = 5, 24
SOUND = 8
"""Things that a worker does well between two that fail: failing at all of them in a row would say
that it is set up wrongly, which ends a run, as it should."""
REQUEST_FAULTS = [fault for fault in Fault if fault is not Fault.refused]
"""Refused by all is the end of a run, too; seen in the tests of the fleet."""
PROMPTS = [
    Prompt(Example(f"post {place}", "words", ("a reference",)), (5, 600 + place))
    for place in range(EPOCH)
]

Kind = TypeVar("Kind", Fault, Trouble)


class Chance:
    """What befalls one worker, from one seed."""

    def __init__(self, seed: int) -> None:
        self._random, self._sound = random.Random(seed), 0
        self.met: Counter[str] = Counter()
        self.stopped = False

    def of_a_request(self) -> Fault | None:
        return self._one_of(REQUEST_FAULTS, 0.03)

    def of_new_weights(self) -> Trouble | None:
        return self._one_of(tuple(Trouble), 0.05)

    async def between_steps(self, worker: ReceivingWorker, *, last: bool) -> None:
        """The last one that runs is not stopped: the next step would wait for a worker, and the
        workers for the step."""
        worker.asked.clear()
        if self.stopped:
            if self._random.random() < 0.2:
                # A connection of this very process may have its port for the moment.
                with contextlib.suppress(OSError):
                    await worker.start()
                    self.stopped = False
        elif self._random.random() < 0.01 and not last:
            await worker.stop()
            self.stopped = True
            self.met["stopped"] += 1

    def _one_of(self, kinds: Sequence[Kind], share: float) -> Kind | None:
        self._sound += 1
        if self._sound <= SOUND or self._random.random() >= share:
            return None
        self._sound = 0
        kind = self._random.choice(kinds)
        self.met[kind.name] += 1
        return kind


class Kept(NamedTuple):
    """What the process holds."""

    objects: int
    megabytes: float
    files: int
    threads: int
    """MLX's own included."""


def kept() -> Kept:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Kept(
        len(gc.get_objects()),
        pages * os.sysconf("SC_PAGE_SIZE") / 1e6,
        len(os.listdir("/proc/self/fd")),
        len(os.listdir("/proc/self/task")),
    )


def least(moments: Sequence[Kept]) -> Kept:
    return Kept(*map(min, zip(*moments, strict=True)))


def unfinished_tasks() -> list[object]:
    """Of all event loops."""
    return [each for each in gc.get_objects() if type(each) is asyncio.Task and not each.done()]


def soon(condition: Callable[[], bool]) -> bool:
    """Threads that were told to end take a moment."""
    deadline = time.monotonic() + 10
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return met


def check_whole(batch: Batch, step: int) -> None:
    """Every rollout is of its own prompt and its own seed, and from the weights that the schedule
    has for this step: in steps 0, 1, 2, 3, 4, ... those of versions 0, 0, 2, 2, 4, ..., which are
    0 and 1 updates old in turn. The log-probabilities show them, whatever anybody says."""
    version = step - step % 2
    assert step == batch.step
    assert PER_STEP == len(batch.groups)
    for place, group in enumerate(batch.groups):
        seed = derive(SEED, "rollout", step, place) % (1 << SEED_BITS)
        sampling = Sampling(MAX_TOKENS, 1.0, (STOP,))
        expected = [completion(group.prompt.token_ids, seed + n, sampling) for n in range(GROUP)]
        assert [(each.token_ids, each.finish_reason, version) for each in expected] == [
            (each.token_ids, each.finish_reason, each.policy_version) for each in group.rollouts
        ]
        assert [marked(each.token_ids, mark_of(version)) for each in expected] == [
            each.sampler_logprobs for each in group.rollouts
        ]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are counted in /proc")
def test_a_thousand_steps_train_on_everything_once_and_leak_nothing(
    checkpoint: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Weights change every second step. What is kept does not grow from step 200 to 1,000: two
    objects that each step leaves behind would be 1,600 objects, a version of the weights that each
    publication leaves behind 28 MB."""
    caplog.set_level(logging.ERROR, logger="tersely")  # pytest would keep some object for each
    for module in (weights, fetching):
        monkeypatch.setattr(module, "MEMORY", tmp_path / "there-is-none")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sampler_module, "TrainerScorer", MarkScorer)
    monkeypatch.setattr(sampler_module, "Waits", quick)
    policy = load_policy(checkpoint("speck"))
    policy.tokenizer.end_of_turn_ids = frozenset({STOP})
    order = PromptOrder(PROMPTS, PER_STEP, seed=3)
    chances = [Chance(seed) for seed in range(WORKERS)]
    workers = [ReceivingWorker(each.of_a_request, each.of_new_weights) for each in chances]
    trained: list[str] = []
    moments: list[Kept] = []
    versions_kept: list[int] = []
    looks = [end - APART * back for end in (WARM, STEPS - 1) for back in range(LOOKS)]
    threads_before, files_before = set(threading.enumerate()), kept().files

    machines = LoopThread("machines of the workers")
    for worker in workers:
        machines.run(worker.start())
    config = VllmConfig(
        workers=[worker.url for worker in workers],
        group_size=GROUP,
        max_tokens=MAX_TOKENS,
        sync_every=2,
        max_staleness=1,
        timeout_s=0.3,
        patience_s=20,
        probe_tolerance=1e-4,
    )
    sampler = config.build(policy, SEED)
    with Prefetcher(sampler, order, schedule=Schedule(1, 2), steps=STEPS) as rollouts:
        for step in range(STEPS):
            rollouts.publish(with_mark(policy.parameters(), step))
            batch = rollouts.next_batch().batch
            check_whole(batch, step)
            trained += [group.prompt.example.id for group in batch.groups]
            for chance, worker in zip(chances, workers, strict=True):
                last = all(each.stopped for each in chances if each is not chance)
                machines.run(chance.between_steps(worker, last=last))
            versions_kept.append(len(list(tmp_path.glob("tersely-weights-of-*/*"))))
            if step in looks:
                moments.append(kept())
    counts = sampler.metrics()
    for worker in workers:
        machines.run(worker.stop())
    machines.close()

    epochs = [trained[first : first + EPOCH] for first in range(0, STEPS * PER_STEP, EPOCH)]
    assert [sorted(post.example.id for post in PROMPTS)] * 16 == [sorted(each) for each in epochs]
    assert [] == [wrong for worker in workers for wrong in worker.wrongs]
    met = sum((chance.met for chance in chances), Counter())
    assert {each.name for each in (*REQUEST_FAULTS, *Trouble)} | {"stopped"} == set(met)
    assert min(counts[f"rollout/{what}"] for what in ("retried", "worker_faults")) > 50
    assert counts["rollout/discarded"] > 0
    assert max(versions_kept) <= weights.KEPT + 1  # one is being written

    warm, last = least(moments[:LOOKS]), least(moments[LOOKS:])
    assert last.objects - warm.objects < STEPS - WARM
    assert last.megabytes - warm.megabytes < 20
    assert last.files - warm.files < 30
    assert last.threads - warm.threads < 10
    assert soon(lambda: threads_before == set(threading.enumerate())), threading.enumerate()
    assert [] == unfinished_tasks()
    assert files_before == kept().files
    assert [] == list(tmp_path.iterdir())


def quick(patience_s: float) -> Waits:
    """Waits in which a thousand steps do not take an hour."""
    return Waits(patience_s, first_probe_s=0.002, longest_probe_s=0.02)
