"""Sampling in this process, with MLX."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tersely.policy.load import Policy
from tersely.records import Group, Prompt, Rollout
from tersely.rollout.sampler import RolloutConfig, Sampler, Snapshot
from tersely.seeds import derive


@dataclass
class LocalConfig(RolloutConfig):
    """`rollout=local`: the training process samples its own rollouts."""

    def computing_threads(self) -> int:
        """Two where sampling goes on beside the update."""
        return 2 if self.max_staleness else 1

    def build(self, policy: Policy, seed: int, folder: Path = Path()) -> Sampler:
        """A sampler with a model object of its own, so that it can run beside the trainer."""
        return LocalSampler(policy, self, seed)


class LocalSampler(Sampler):
    """Samples groups with batched decoding; see `rollout.decode`."""

    def __init__(self, policy: Policy, config: RolloutConfig, seed: int) -> None:
        self._model = policy.twin()
        self._tokenizer = policy.tokenizer
        self._config = config
        self._seed = seed

    def sample(self, prompts: Sequence[Prompt], snapshot: Snapshot, step: int) -> tuple[Group, ...]:
        """See `Sampler.sample`."""
        import mlx.core as mx

        from tersely.rollout.decode import Completion, Transform, decode

        self._model.update(snapshot.parameters)
        decoded = decode(
            self._model,
            [prompt.token_ids for prompt in prompts],
            self._config.group_size,
            max_tokens=self._config.max_tokens,
            end_of_turn_ids=self._tokenizer.end_of_turn_ids,
            transform=Transform(self._config.temperature, self._config.top_p),
            key=mx.random.key(derive(self._seed, "rollout", step)),
        )

        def rollout(completion: Completion) -> Rollout:
            return Rollout(
                token_ids=tuple(completion.token_ids),
                sampler_logprobs=tuple(completion.logprobs),
                finish_reason=completion.finish_reason,
                policy_version=snapshot.version,
                text=self._tokenizer.decode(completion.token_ids),
            )

        return tuple(
            Group(prompt, tuple(rollout(completion) for completion in completions))
            for prompt, completions in zip(prompts, decoded, strict=True)
        )
