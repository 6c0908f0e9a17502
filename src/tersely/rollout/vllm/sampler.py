"""The rollout engine that samples on vLLM servers."""

import threading
import time
from collections.abc import Sequence

from tersely.policy.load import Policy
from tersely.records import Group, Prompt, Rollout
from tersely.rollout.sampler import Sampler, Snapshot
from tersely.rollout.vllm.config import WorkersConfig
from tersely.rollout.vllm.fleet.fleet import Fleet
from tersely.rollout.vllm.fleet.roster import Waits
from tersely.rollout.vllm.fleet.shares import Request
from tersely.rollout.vllm.fleet.worker import Worker
from tersely.rollout.vllm.loop import LoopThread
from tersely.rollout.vllm.publishing.score import TrainerScorer
from tersely.rollout.vllm.publishing.synchronise import Synchroniser
from tersely.rollout.vllm.records import Completion, Sampling
from tersely.rollout.vllm.token import token_for
from tersely.seeds import derive

SEED_BITS = 48
"""Seeds are counted up within a group, and stay what JSON and torch can take."""


class VllmSampler(Sampler):
    """Spreads the groups of a step over workers, which have the weights that it asks for.

    A completion follows from the weights, its prompt and its seed, whichever worker it comes from,
    as far as a server computes the same numbers whatever else it is asked meanwhile.
    """

    def __init__(
        self,
        policy: Policy,
        config: WorkersConfig,
        seed: int,
        workers: Sequence[str],
        scorer: TrainerScorer | None = None,
    ) -> None:
        """`workers` are addresses; nothing is asked of them before the first `sample`. Raises
        `ConfigError` where `config.sync` does not go with what is trained. `scorer` is one that
        was made before, for who has no addresses until the policy is being trained."""
        self._tokenizer, self._config, self._seed = policy.tokenizer, config, seed
        self._vocabulary = policy.vocabulary()
        self._workers = [
            Worker(url, timeout_s=config.timeout_s, token=token_for(url)) for url in workers
        ]
        scorer = scorer or TrainerScorer(policy, config.temperature)
        self._sync = Synchroniser(policy, config, scorer.of)
        self._fleet = Fleet(
            self._workers,
            self._sync.bring,
            dialect=self._sync.dialect,
            requests_per_worker=config.requests_per_worker,
            waits=Waits(config.patience_s),
        )
        self._loop = LoopThread("workers")
        self._version: int | None = None
        self._publishing_seconds = 0.0
        self._closed = False
        self._closing = threading.Lock()

    def sample(self, prompts: Sequence[Prompt], snapshot: Snapshot, step: int) -> tuple[Group, ...]:
        """See `Sampler.sample`."""
        began = time.perf_counter()
        if snapshot.version != self._version:
            self._publish(snapshot)
        self._publishing_seconds = time.perf_counter() - began
        requests = [
            Request(
                prompt.token_ids,
                self._config.group_size,
                derive(self._seed, "rollout", step, place) % (1 << SEED_BITS),
            )
            for place, prompt in enumerate(prompts)
        ]
        sampled = self._loop.run(self._fleet.sample(requests, self._sampling()))
        return tuple(
            Group(prompt, tuple(self._rollout(each, snapshot.version) for each in completions))
            for prompt, completions in zip(prompts, sampled, strict=True)
        )

    def metrics(self) -> dict[str, float]:
        """How the workers do, and what publishing took before this step's rollouts: next to
        nothing where they have the weights of the step before."""
        counts = self._fleet.counts
        return {
            "rollout/live_workers": float(counts.live),
            "rollout/retried": float(counts.retried),
            "rollout/discarded": float(counts.discarded),
            "rollout/worker_faults": float(counts.faults),
            "time/publishing": self._publishing_seconds,
        }

    def close(self) -> None:
        """See `Sampler.close`. A `sample` in another thread raises `RolloutError`."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self._loop.run(self._fleet.close())
                self._loop.run(self._sync.close())
                self._loop.close()

    def _publish(self, snapshot: Snapshot) -> None:
        if self._version is None:
            self._loop.run(self._sync.start(self._workers))
        published = self._sync.write(snapshot)
        self._loop.run(self._fleet.publish(published))
        self._version = snapshot.version

    def _sampling(self) -> Sampling:
        return Sampling(
            self._config.max_tokens,
            self._config.temperature,
            tuple(sorted(self._tokenizer.end_of_turn_ids)),
            self._vocabulary,
        )

    def _rollout(self, completion: Completion, version: int) -> Rollout:
        return Rollout(
            token_ids=completion.token_ids,
            sampler_logprobs=completion.logprobs,
            finish_reason=completion.finish_reason,
            policy_version=version,
            text=self._tokenizer.decode(list(completion.token_ids)),
        )
