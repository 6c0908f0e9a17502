"""Brings workers to the weights of the trainer, and sees that they sample with them."""

import asyncio
from collections.abc import Callable, Sequence

from tersely.errors import SyncNotApplied
from tersely.policy.load import Policy
from tersely.rollout.sampler import Snapshot
from tersely.rollout.vllm.config import Sync, WorkersConfig
from tersely.rollout.vllm.fleet.replies import Dialect, WrongVersion
from tersely.rollout.vllm.fleet.worker import Worker
from tersely.rollout.vllm.publishing.delivery import SERVE, LoadAdapter, Receiver, Reload, Restart
from tersely.rollout.vllm.publishing.probe import Probe, Stale
from tersely.rollout.vllm.publishing.publisher import Publisher
from tersely.rollout.vllm.publishing.weights import Weights
from tersely.rollout.vllm.records import Published, Score, WorkerFault

TRIES = 2
PROBE_TEXT = "This is a short text about"


class Synchroniser:
    """The way of the weights from the trainer to its workers, for one run and stage.

    `write` is for the trainer's threads; all else belongs to one event loop.
    """

    def __init__(
        self, policy: Policy, config: WorkersConfig, score_of: Callable[[Snapshot], Score]
    ) -> None:
        """Raises `ConfigError` where `rollout.sync` does not go with what is trained."""
        self.dialect = Dialect.tagged if config.sync is Sync.reload else Dialect.named
        """How workers are asked and tell which weights they have."""
        self._sync, self._tolerance = config.sync, config.probe_tolerance
        self._weights = Weights(
            policy, score_of, adapters_only=config.sync is Sync.lora, folder=config.publish_folder
        )
        self._publisher = Publisher(config.publish_host, config.publish_port)
        self._receiver = Receiver(self._publisher)
        self._reload, self._restart = Reload(self._receiver), Restart(self._receiver)
        self._load_adapter = LoadAdapter(self._receiver)
        prompt = policy.tokenizer.encode_completion(PROBE_TEXT)
        self._probe = Probe(prompt, config.temperature, policy.vocabulary())
        self.dtype = "float32"
        """What weights are written in."""

    async def start(self, workers: Sequence[Worker]) -> None:
        """Offer weights from now on, in bfloat16 if that is what all of `workers` store, which
        halves what is moved.

        Raises `RolloutError` where the address to offer them on cannot be had.
        """
        await self._publisher.start()
        dtypes = await asyncio.gather(*(self._dtype_of(worker) for worker in workers))
        self.dtype = "bfloat16" if set(dtypes) == {"bfloat16"} else "float32"

    def write(self, snapshot: Snapshot) -> Published:
        """Write the weights of `snapshot` to where workers get them. Raises `RolloutError`."""
        return self._weights.write(snapshot, self.dtype)

    async def bring(self, worker: Worker, published: Published) -> None:
        """Returns once `worker` samples with `published`.

        Raises `WorkerFault`, and `SyncNotApplied` where it cannot be brought there or is heard
        to sample with something else, twice.
        """
        for attempt in range(TRIES):
            await self._deliver(worker, published)
            try:
                # Another completion each time: in low precision one may be off by chance.
                apart = await self._probe.difference(worker, published, self.dialect, seed=attempt)
            except Stale as fault:
                problem = _not_taken(published, fault)
                continue
            except WrongVersion as fault:
                problem = _others(worker, published, fault.what)
                continue
            if apart <= self._tolerance:
                return
            problem = _others(
                worker,
                published,
                f"its log-probabilities are {apart:.3g} nats a token off the trainer's, more than "
                f"rollout.probe_tolerance={self._tolerance:g}",
            )
        raise SyncNotApplied(problem)

    async def close(self) -> None:
        """Stop offering weights and remove their files."""
        await self._publisher.close()
        await asyncio.to_thread(self._probe.close)
        await asyncio.to_thread(self._weights.close)

    async def _deliver(self, worker: Worker, published: Published) -> None:
        if self._sync is Sync.reload:
            await self._reload.deliver(worker, published)
        elif self._sync is Sync.restart:
            await self._restart.deliver(worker, published)
        else:
            assert self._weights.base is not None
            await self._load_adapter.deliver(worker, published, self._weights.base)

    async def _dtype_of(self, worker: Worker) -> str:
        """What a worker stores weights in; float32, which suits all, where it does not tell."""
        try:
            described = await self._receiver.ask(worker, "tersely_describe")
        except WorkerFault:
            return "float32"
        return str(described[0].get("dtype"))


def _not_taken(published: Published, fault: Stale) -> str:
    return (
        f"the weights of version {published.version} ({published.tag}) did not take: {fault.url} "
        f"was given them, and {fault.what}; {SERVE} and the vLLM that docs/several-machines.md "
        "names, or set rollout.sync=restart"
    )


def _others(worker: Worker, published: Published, found: str) -> str:
    return (
        f"{worker.url} was given the weights of version {published.version} ({published.tag}) and "
        f"does not sample with them: {found}. It serves another model than the trainer's, or is "
        "used by another trainer too, or samples in a way of its own (a top-k of its generation "
        f"config, low precision); {SERVE}, with the model that is trained and for this run alone"
    )
