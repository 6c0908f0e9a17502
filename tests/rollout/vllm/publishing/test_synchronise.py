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
    """A worker that takes all weights and samples probes with these log-probabilities, one for
    each attempt."""

    def __init__(self, *probes: float | WorkerFault) -> None:
        super().__init__(URL, timeout_s=1)
        self.probes = list(probes)
        self.shares: list[Share] = []
        self.dtype = "float32"

    @property
    def attempts(self) -> list[int]:
        return sorted({share.seed for share in self.shares})

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
        probe = self.probes[share.seed]
        if isinstance(probe, WorkerFault):
            raise probe
        return [Completion((1,) * sampling.max_tokens, (probe,) * sampling.max_tokens, "length")]


@pytest.fixture
def policy(checkpoint: Callable[[str], Path]) -> Policy:
    return load_policy(checkpoint("qwen2"))


def bring(
    policy: Policy, folder: Path, worker: Worker, own: float, before: float | None = None
) -> None:
    """To weights under which the trainer has `own` for the log-probability of every token, and
    had `before` for it under the version before."""

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

    def score_before(prompt: Any, completion: Any) -> list[float]:
        assert before is not None
        return [before] * len(completion)

    published = Published(
        7, "run-7", folder, {}, score, before=score_before if before is not None else None
    )
    asyncio.run(main())


def test_what_is_as_near_as_asked_for_is_taken(policy: Policy, tmp_path: Path) -> None:
    """|-1.04 - (-1.0)| = 0.04, at most 0.05."""
    worker = Probed(-1.04)
    bring(policy, tmp_path, worker, own=-1.0)

    assert [0] == worker.attempts


def test_what_is_off_once_is_given_its_weights_again(policy: Policy, tmp_path: Path) -> None:
    worker = Probed(-1.5, -1.0)
    bring(policy, tmp_path, worker, own=-1.0)

    assert [0, 1] == worker.attempts


@pytest.mark.parametrize("off", [-1.06, -0.94, float("nan")])
def test_what_stays_off_is_named_with_by_how_much(
    policy: Policy, tmp_path: Path, off: float
) -> None:
    """0.06 of 0.05; and what is no number is not near."""
    said = "nan" if off != off else "0.06"
    with pytest.raises(SyncNotApplied, match=rf"{URL} .*version 7 .*{said} nats.*=0\.05"):
        bring(policy, tmp_path, Probed(off, off), own=-1.0)


@pytest.mark.parametrize("noise", [0.0, 0.008, -0.008])
def test_weights_that_did_not_take_are_found_out_within_the_tolerance(
    policy: Policy, tmp_path: Path, noise: float
) -> None:
    """One update moved the trainer from -1 to -1.027, and the worker still has -1, in float32 or
    with a rounding of 0.008 (bfloat16). It is 0.027 at most 0.035 off, below 0.05, and 0.008 at
    most off the version before: less than half of 0.027."""
    worker = Probed(-1.0 + noise, -1.0 + noise)
    with pytest.raises(
        SyncNotApplied, match=rf"^the weights of version 7 .*did not take: {URL} .*version before"
    ):
        bring(policy, tmp_path, worker, own=-1.027, before=-1.0)

    assert [0, 1] == worker.attempts


@pytest.mark.parametrize("gap", [0.0003, 0.027, 0.6])
def test_in_float32_every_gap_tells(policy: Policy, tmp_path: Path, gap: float) -> None:
    """Also one above the tolerance: what is said first is the cause."""
    with pytest.raises(SyncNotApplied, match="did not take"):
        bring(policy, tmp_path, Probed(-1.0, -1.0), own=-1.0 - gap, before=-1.0)


@pytest.mark.parametrize("before", [-1.0, -1.001, -1.027])
@pytest.mark.parametrize("noise", [0.008, -0.008])
def test_a_sound_worker_that_rounds_is_not_accused(
    policy: Policy, tmp_path: Path, before: float, noise: float
) -> None:
    """It is 0.008 off. From the version before it is 0.007 where that is 0.001 away, above
    0.0005; 0.019 where that is 0.027 away, above 0.0135."""
    worker = Probed(-1.0 + noise)
    bring(policy, tmp_path, worker, own=-1.0, before=before)

    assert [0] == worker.attempts


def test_what_is_exact_is_taken_whatever_was_before(policy: Policy, tmp_path: Path) -> None:
    """5e-5 off the new version and 0 off the one before: there is nothing to tell apart."""
    worker = Probed(-1.0)
    bring(policy, tmp_path, worker, own=-1.00005, before=-1.0)

    assert [0] == worker.attempts


def test_weights_that_take_the_second_time_are_taken(policy: Policy, tmp_path: Path) -> None:
    worker = Probed(-1.0, -1.027)
    bring(policy, tmp_path, worker, own=-1.027, before=-1.0)

    assert [0, 1] == worker.attempts


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

    first, second = worker.shares[:2]
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
