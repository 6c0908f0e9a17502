"""When a worker counts as brought to the trainer's weights. No worker here has any: what it would
answer is put in place."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tersely.errors import SyncNotApplied
from tersely.policy.load import Policy, load_policy
from tersely.rollout.vllm.config import VllmConfig
from tersely.rollout.vllm.fleet.replies import Dialect, WrongVersion
from tersely.rollout.vllm.fleet.worker import Worker
from tersely.rollout.vllm.publishing.probe import TOKENS
from tersely.rollout.vllm.publishing.synchronise import Synchroniser
from tersely.rollout.vllm.records import Completion, Published, Sampling, Share, WorkerFault

URL = "http://127.0.0.1:1"


class Probed(Worker):
    """A worker that takes all weights and samples probes with these log-probabilities."""

    def __init__(self, *probes: float | WorkerFault) -> None:
        super().__init__(URL, timeout_s=1)
        self.probes = list(probes)
        self.shares: list[Share] = []
        self.dtype = "float32"

    async def call(
        self, path: str, body: Any = None, *, method: str = "POST", timeout_s: float | None = None
    ) -> Any:
        if path == "/reset_prefix_cache":
            return {"success": True}
        return {"results": [{"problem": None, "dtype": self.dtype}]}

    async def sample(
        self, share: Share, sampling: Sampling, *, tag: str, dialect: Dialect
    ) -> list[Completion]:
        self.shares.append(share)
        assert ("run-7", Dialect.tagged, ()) == (tag, dialect, sampling.stop_token_ids)
        probe = self.probes.pop(0)
        if isinstance(probe, WorkerFault):
            raise probe
        return [Completion((1,) * sampling.max_tokens, (probe,) * sampling.max_tokens, "length")]


@pytest.fixture
def policy(checkpoint: Callable[[str], Path]) -> Policy:
    return load_policy(checkpoint("qwen2"))


def bring(policy: Policy, folder: Path, worker: Worker, own: float) -> None:
    """To weights under which the trainer has `own` for the log-probability of every token."""

    async def main() -> None:
        config = VllmConfig(workers=[URL], probe_tolerance=0.05)
        synchroniser = Synchroniser(policy, config, lambda snapshot: score)
        await synchroniser.start([worker])
        try:
            await synchroniser.bring(worker, published)
        finally:
            await synchroniser.close()

    def score(prompt: Any, completion: Any) -> list[float]:
        return [own] * len(completion)

    published = Published(7, "run-7", folder, {}, score)
    asyncio.run(main())


def test_what_is_as_near_as_asked_for_is_taken(policy: Policy, tmp_path: Path) -> None:
    """|-1.04 - (-1.0)| = 0.04, at most 0.05."""
    worker = Probed(-1.04)
    bring(policy, tmp_path, worker, own=-1.0)

    assert 1 == len(worker.shares)


def test_what_is_off_once_is_given_its_weights_again(policy: Policy, tmp_path: Path) -> None:
    worker = Probed(-1.5, -1.0)
    bring(policy, tmp_path, worker, own=-1.0)

    assert 2 == len(worker.shares)


@pytest.mark.parametrize("off", [-1.06, -0.94, float("nan")])
def test_what_stays_off_is_named_with_by_how_much(
    policy: Policy, tmp_path: Path, off: float
) -> None:
    """0.06 of 0.05; and what is no number is not near."""
    said = "nan" if off != off else "0.06"
    with pytest.raises(SyncNotApplied, match=rf"{URL} .*version 7 .*{said} nats.*=0\.05"):
        bring(policy, tmp_path, Probed(off, off), own=-1.0)


def test_another_version_twice_is_named(policy: Policy, tmp_path: Path) -> None:
    wrong = WrongVersion(URL, "it sampled with run-6")
    with pytest.raises(SyncNotApplied, match="it sampled with run-6"):
        bring(policy, tmp_path, Probed(wrong, wrong), own=-1.0)


def test_a_fault_is_left_to_the_fleet(policy: Policy, tmp_path: Path) -> None:
    with pytest.raises(WorkerFault, match="gone"):
        bring(policy, tmp_path, Probed(WorkerFault(URL, "gone")), own=-1.0)


def test_the_probe_is_short_and_another_one_the_second_time(policy: Policy, tmp_path: Path) -> None:
    """In low precision one completion may be off by chance."""
    worker = Probed(-1.5, -1.0)
    bring(policy, tmp_path, worker, own=-1.0)

    first, second = worker.shares
    assert first.seed != second.seed
    assert first.prompt == second.prompt
    assert 1 == first.count
    assert 0 < len(first.prompt) + TOKENS <= 32


@pytest.mark.parametrize(
    ("stored", "written"),
    [
        (["bfloat16", "bfloat16"], "bfloat16"),
        (["bfloat16", "float32"], "float32"),
        (["float16", "float16"], "float32"),
    ],
)
def test_no_more_is_moved_than_all_workers_store(
    policy: Policy, stored: list[str], written: str
) -> None:
    """float16 has other exponents, so bfloat16 would not do for it."""
    workers = [Probed() for _ in stored]
    for worker, dtype in zip(workers, stored, strict=True):
        worker.dtype = dtype

    async def main() -> str:
        synchroniser = Synchroniser(policy, VllmConfig(workers=[URL]), lambda snapshot: score)
        await synchroniser.start(workers)
        await synchroniser.close()
        return synchroniser.dtype

    def score(prompt: Any, completion: Any) -> list[float]:
        return []

    assert written == asyncio.run(main())
