"""What holds of every rollout engine; the tests of each call it."""

import contextlib
import math
from collections.abc import Sequence

import mlx.core as mx
from mlx.utils import tree_flatten

from tersely.policy.load import Policy
from tersely.records import Prompt
from tersely.rollout.sampler import RolloutConfig, Snapshot


def keep_the_contract(
    config: RolloutConfig, policy: Policy, prompts: Sequence[Prompt], *, seed: int = 1
) -> None:
    """A group a prompt, in their order, with all that training needs; the same again for the same
    step, by this sampler and by another one; and the trainer's weights are left alone."""
    before = dict(tree_flatten(policy.parameters()))
    snapshot = Snapshot(policy.parameters(), version=7)
    sampler = config.build(policy, seed)

    groups = sampler.sample(prompts, snapshot, 3)

    assert tuple(prompts) == tuple(group.prompt for group in groups)
    ends = policy.tokenizer.end_of_turn_ids
    for rollout in (rollout for group in groups for rollout in group.rollouts):
        assert 1 <= len(rollout.token_ids) <= config.max_tokens
        assert len(rollout.token_ids) == len(rollout.sampler_logprobs)
        assert all(math.isfinite(logprob) and logprob <= 0 for logprob in rollout.sampler_logprobs)
        assert not ends & set(rollout.token_ids[:-1])
        assert (rollout.token_ids[-1] in ends) == (rollout.finish_reason == "stop")
        words = rollout.token_ids[: rollout.length]
        assert policy.tokenizer.decode(words) == rollout.text
        assert 7 == rollout.policy_version
    assert [config.group_size] * len(prompts) == [len(group.rollouts) for group in groups]
    assert groups != sampler.sample(prompts, snapshot, 4)
    assert groups == sampler.sample(prompts, snapshot, 3)
    assert all(math.isfinite(number) for number in sampler.metrics().values())
    sampler.close()
    sampler.close()
    with contextlib.closing(config.build(policy, seed)) as another:
        assert groups == another.sample(prompts, snapshot, 3)
    after = dict(tree_flatten(policy.parameters()))
    assert all(mx.array_equal(array, after[name]) for name, array in before.items())
