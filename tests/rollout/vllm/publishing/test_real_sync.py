"""Weights into a real vLLM: afterwards its log-probabilities are the trainer's.

In float32 the two differ by some 1e-6 nats a token; 1e-4 is what they are held to.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten, tree_map_with_path

from tersely.errors import SyncNotApplied
from tersely.policy.load import TINY, Policy, load_policy
from tersely.policy.tuning import LoraConfig
from tersely.rollout.sampler import Snapshot
from tersely.rollout.vllm.config import Sync, VllmConfig
from tersely.rollout.vllm.fleet.worker import Worker
from tersely.rollout.vllm.publishing.delivery import Reload
from tersely.rollout.vllm.publishing.score import TrainerScorer
from tersely.rollout.vllm.publishing.synchronise import Synchroniser
from tersely.rollout.vllm.records import Published, Sampling, Share, WorkerFault
from tersely.rollout.vllm.token import token_for

CLOSE = 1e-4
LEARNING_RATE = 5e-5
LORA_RANK = 16
"""What servers have room for."""
TEMPERATURE = 0.7
SHARE = Share(group=0, first=0, count=4, prompt=tuple(range(300, 320)), seed=5)

RealServer = Callable[..., str]


class Trainer:
    """A policy with a worker, which it gives weights."""

    def __init__(self, policy: Policy, url: str, sync: Sync, *, shares_disk: bool = True) -> None:
        self.policy = policy
        config = VllmConfig(workers=[url], sync=sync, temperature=TEMPERATURE)
        self.worker = Worker(url, timeout_s=60, token=token_for(url))
        self.sync = Synchroniser(policy, config, TrainerScorer(policy, TEMPERATURE).of)
        if not shares_disk:
            _hide_paths(self.sync)
        self.version = 0

    def write(self) -> Published:
        """Weights that no worker has seen."""
        self.version += 1
        return self.sync.write(Snapshot(changed(self.policy, self.version), self.version))

    async def apart(self, published: Published) -> float:
        """The largest difference of the worker's log-probabilities of completions to the
        trainer's."""
        sampling = Sampling(32, TEMPERATURE, stop_token_ids=())
        completions = await self.worker.sample(
            SHARE, sampling, tag=published.tag, dialect=self.sync.dialect
        )
        return max(
            abs(one - other)
            for completion in completions
            for one, other in zip(
                completion.logprobs,
                published.score(SHARE.prompt, completion.token_ids),
                strict=True,
            )
        )


def _hide_paths(sync: Synchroniser) -> None:
    """As if the worker were on another machine, where the trainer's paths mean nothing."""
    tell = sync._publisher.source

    async def source(published: Published, url: str) -> dict[str, Any]:
        return await tell(published, url) | {"path": "/not/on/this/machine"}

    sync._publisher.source = source  # type: ignore[method-assign]


def changed(policy: Policy, seed: int) -> Any:
    """Other parameters, where the policy trains any: so far off that a worker with weights of
    the version before cannot pass for one with these."""
    mx.random.seed(seed)
    trained = dict(tree_flatten(policy.model.trainable_parameters()))

    def moved(name: str, array: mx.array) -> mx.array:
        return array + 0.05 * mx.random.normal(array.shape) if name in trained else array

    parameters = tree_map_with_path(moved, policy.parameters())
    mx.eval(parameters)
    return parameters


def stepped(policy: Policy, steps: int) -> Any:
    """The policy after as many steps of AdamW, early ones, which move every parameter by the
    learning rate."""
    mx.random.seed(17)

    def moved(name: str, array: mx.array) -> mx.array:
        return array + steps * LEARNING_RATE * mx.sign(mx.random.normal(array.shape))

    parameters = tree_map_with_path(moved, policy.parameters())
    mx.eval(parameters)
    return parameters


def with_trainer(trainer: Trainer, do: Callable[[Trainer], Awaitable[None]]) -> None:
    async def main() -> None:
        await trainer.sync.start([trainer.worker])
        try:
            await do(trainer)
        finally:
            await trainer.sync.close()
            await trainer.worker.close()

    asyncio.run(main())


async def brings_several(trainer: Trainer) -> None:
    for _ in range(3):
        published = trainer.write()
        await trainer.sync.bring(trainer.worker, published)
        assert await trainer.apart(published) < CLOSE


@pytest.fixture(params=["embedded", "lfm2"])
def folder(request: pytest.FixtureRequest, hub_checkpoint: Callable[[str], Path]) -> Path:
    """A checkpoint of each architecture: the embedded one is a Qwen2."""
    return TINY if request.param == "embedded" else hub_checkpoint(request.param)


@pytest.mark.parametrize("shares_disk", [True, False])
def test_all_weights(real_server: RealServer, folder: Path, shares_disk: bool) -> None:
    """By path and over HTTP, several versions one after the other; the embedding is the LM head
    too, which vLLM on a CPU would leave as it was."""
    url = real_server(folder, lora_rank=LORA_RANK)
    trainer = Trainer(load_policy(folder), url, Sync.reload, shares_disk=shares_disk)
    with_trainer(trainer, brings_several)


@pytest.mark.parametrize("shares_disk", [True, False])
def test_adapters(real_server: RealServer, folder: Path, shares_disk: bool) -> None:
    """Beside weights that are not those that the server was started with."""
    policy = load_policy(folder)
    policy.model.update(changed(policy, 99))
    policy.attach(LoraConfig(rank=8, scale=4.0), seed=1)
    trainer = Trainer(
        policy, real_server(folder, lora_rank=LORA_RANK), Sync.lora, shares_disk=shares_disk
    )
    with_trainer(trainer, brings_several)


def test_adapters_added_to_the_weights(real_server: RealServer, folder: Path) -> None:
    """tuning=lora goes with rollout.sync=reload too."""
    policy = load_policy(folder)
    policy.attach(LoraConfig(rank=8, scale=4.0), seed=1)
    trainer = Trainer(policy, real_server(folder, lora_rank=LORA_RANK), Sync.reload)
    with_trainer(trainer, brings_several)


def test_a_damaged_file_leaves_the_old_weights_answering(real_server: RealServer) -> None:
    async def do(trainer: Trainer) -> None:
        old = trainer.write()
        await trainer.sync.bring(trainer.worker, old)
        new = trainer.write()
        file = new.folder / next(iter(new.checksums))
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)

        with pytest.raises(WorkerFault, match=r"it kept its weights: .* is damaged"):
            await trainer.sync.bring(trainer.worker, new)
        assert await trainer.apart(old) < CLOSE

    with_trainer(
        Trainer(load_policy(TINY), real_server(TINY, lora_rank=LORA_RANK), Sync.reload), do
    )


def test_another_architecture_is_found_out_before_it_does_harm(
    real_server: RealServer, checkpoint: Callable[[str], Path]
) -> None:
    """The worker goes on with the weights that it has."""
    url = real_server(TINY, lora_rank=LORA_RANK)

    async def refused(trainer: Trainer) -> None:
        with pytest.raises(SyncNotApplied, match=f"{url} serves another model"):
            await trainer.sync.bring(trainer.worker, trainer.write())

    with_trainer(Trainer(load_policy(checkpoint("qwen2")), url, Sync.reload), refused)
    with_trainer(Trainer(load_policy(TINY), url, Sync.reload), brings_several)


def test_another_trainer_at_the_same_worker_is_found_out(real_server: RealServer) -> None:
    """Here it has given the worker other weights under this trainer's tag."""
    url = real_server(TINY, lora_rank=LORA_RANK)

    async def do(trainer: Trainer) -> None:
        mine = trainer.write()
        other = trainer.write()

        async def deliver(worker: Worker, published: Published) -> None:
            await Synchroniser._deliver(
                trainer.sync,
                worker,
                Published(other.version, mine.tag, other.folder, other.checksums, other.score),
            )

        trainer.sync._deliver = deliver  # type: ignore[method-assign]
        with pytest.raises(SyncNotApplied, match=rf"{url} .*version 1 .* nats a token off"):
            await trainer.sync.bring(trainer.worker, mine)

    with_trainer(Trainer(load_policy(TINY), url, Sync.reload), do)


def test_a_reload_that_does_not_take_is_found_out(
    real_server: RealServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the default tolerance, after one step of AdamW at the default learning rate: the worker
    has the new tag and the old weights. Before that and after it the same step is taken."""
    url = real_server(TINY, lora_rank=LORA_RANK)
    deliver = Reload.deliver

    async def tag_alone(reload: Reload, worker: Worker, published: Published) -> None:
        await worker.call("/update_weight_version", {"new_version": published.tag})

    async def do(trainer: Trainer) -> None:
        versions = (Snapshot(stepped(trainer.policy, count), count) for count in range(4))
        for _ in range(2):
            await trainer.sync.bring(trainer.worker, trainer.sync.write(next(versions)))
        monkeypatch.setattr(Reload, "deliver", tag_alone)
        published = trainer.sync.write(next(versions))
        with pytest.raises(SyncNotApplied, match=rf"version 2 .*did not take: {url}"):
            await trainer.sync.bring(trainer.worker, published)
        off = await trainer.apart(published)
        assert CLOSE < off < VllmConfig(workers=[url]).probe_tolerance

        monkeypatch.setattr(Reload, "deliver", deliver)
        published = trainer.sync.write(next(versions))
        await trainer.sync.bring(trainer.worker, published)
        assert await trainer.apart(published) < CLOSE

    with_trainer(Trainer(load_policy(TINY), url, Sync.reload), do)


def test_a_worker_without_room_for_adapters_is_named(real_server: RealServer) -> None:
    policy = load_policy(TINY)
    policy.attach(LoraConfig(rank=2 * LORA_RANK), seed=1)

    async def do(trainer: Trainer) -> None:
        with pytest.raises(
            SyncNotApplied, match=r"does not take an adapter .*rank 32 .*lora_rank=N"
        ):
            await trainer.sync.bring(trainer.worker, trainer.write())

    with_trainer(Trainer(policy, real_server(TINY, lora_rank=LORA_RANK), Sync.lora), do)


def test_a_restart(real_server: RealServer) -> None:
    """The last resort: the same weights by another way."""

    async def do(trainer: Trainer) -> None:
        published = trainer.write()
        await trainer.sync.bring(trainer.worker, published)
        assert await trainer.apart(published) < CLOSE

    trainer = Trainer(load_policy(TINY), real_server(TINY, name="restarted"), Sync.restart)
    with_trainer(trainer, do)
