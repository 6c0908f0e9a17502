"""The sampler in this process, with real weights."""

from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten, tree_map
from rollout.engine_contract import keep_the_contract

from tersely.errors import ConfigError
from tersely.policy.load import Policy, load_policy
from tersely.policy.logprobs import completion_logprobs
from tersely.records import Example, Group, Prompt
from tersely.rollout.local import LocalConfig
from tersely.rollout.sampler import Sampler, Snapshot

PROMPTS = tuple(
    Prompt(Example(f"post {n}", "words", ("a reference",)), tuple(range(300, 305 + 9 * n)))
    for n in range(3)
)


@pytest.fixture
def quick_to_stop(policy: Policy) -> Policy:
    """Random weights hardly ever draw the one end-of-turn id; here a sixth of all ids are one."""
    policy.tokenizer.end_of_turn_ids = frozenset(range(340))
    return policy


def config(**changes: float) -> LocalConfig:
    return LocalConfig(**({"group_size": 4, "max_tokens": 10} | changes))  # type: ignore[arg-type]


def draw(sampler: Sampler, policy: Policy, version: int = 0, step: int = 0) -> tuple[Group, ...]:
    return sampler.sample(PROMPTS, Snapshot(policy.parameters(), version), step)


def test_it_keeps_the_contract_of_engines(quick_to_stop: Policy) -> None:
    keep_the_contract(config(), quick_to_stop, PROMPTS)


def test_groups_come_in_the_order_of_the_prompts_with_what_training_needs(
    quick_to_stop: Policy,
) -> None:
    """Version, length and text: the end of turn is in the ids, not in the length or the text."""
    policy = quick_to_stop
    groups = draw(config().build(policy, seed=1), policy, version=7)

    assert PROMPTS == tuple(group.prompt for group in groups)
    rollouts = [rollout for group in groups for rollout in group.rollouts]
    assert 12 == len(rollouts)
    assert {7} == {rollout.policy_version for rollout in rollouts}
    assert {"stop", "length"} == {rollout.finish_reason for rollout in rollouts}
    for rollout in rollouts:
        assert len(rollout.token_ids) == len(rollout.sampler_logprobs)
        words = rollout.token_ids
        if rollout.finish_reason == "stop":
            assert words[-1] in policy.tokenizer.end_of_turn_ids
            words = words[:-1]
        assert len(words) == rollout.length
        assert policy.tokenizer.decode(words) == rollout.text


def test_the_real_end_of_turn_is_not_in_the_text(
    checkpoint: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one word made all but certain, and the end of turn after it."""
    policy = load_policy(checkpoint("qwen2"))
    end = policy.tokenizer.end_of_turn
    (word,) = policy.tokenizer.encode_completion("the")
    call = type(policy.model).__call__

    def sure(model: nn.Module, inputs: mx.array, cache: object = None) -> mx.array:
        wanted = mx.where(inputs == word, end, word)
        return call(model, inputs, cache=cache) + 1e4 * (mx.arange(2048) == wanted[..., None])

    monkeypatch.setattr(type(policy.model), "__call__", sure)
    (group, *_) = draw(config().build(policy, seed=0), policy)

    for rollout in group.rollouts:
        assert (word, end) == rollout.token_ids
        assert ("the", 1, "stop") == (rollout.text, rollout.length, rollout.finish_reason)


def test_draws_depend_on_seed_and_step_alone(policy: Policy) -> None:
    """A run can be entered at any step: nothing that was sampled before has a say."""
    sampler = config().build(policy, seed=1)
    early, late = draw(sampler, policy, step=0), draw(sampler, policy, step=5)

    assert early != late
    assert late == draw(config().build(policy, seed=1), policy, step=5)
    assert late != draw(config().build(policy, seed=2), policy, step=5)


def test_sampling_leaves_the_trainer_s_weights_alone(policy: Policy) -> None:
    before = dict(tree_flatten(policy.parameters()))
    sampler = config().build(policy, seed=1)
    doubled = tree_map(lambda array: array * 2, policy.parameters())

    sampler.sample(PROMPTS, Snapshot(doubled, version=1), 0)

    after = dict(tree_flatten(policy.parameters()))
    assert all(mx.array_equal(array, after[name]) for name, array in before.items())


def test_the_snapshot_samples_not_the_weights_of_the_day_the_sampler_was_made(
    policy: Policy,
) -> None:
    """Log-probabilities are those of the snapshot, although the policy has moved on since."""
    policy.tokenizer.end_of_turn_ids = frozenset()
    sampler = config(temperature=0.7).build(policy, seed=1)
    policy.model.update(tree_map(lambda array: array * 1.3, policy.parameters()))
    snapshot = Snapshot(policy.parameters(), version=1)
    policy.model.update(tree_map(lambda array: array * 1.3, policy.parameters()))

    groups = sampler.sample(PROMPTS, snapshot, 0)

    reference = load_policy(policy.folder).model
    reference.update(snapshot.parameters)
    ids = [[rollout.token_ids for rollout in group.rollouts] for group in groups]
    scored = completion_logprobs(reference, [p.token_ids for p in PROMPTS], ids, temperature=0.7)
    drawn = [[rollout.sampler_logprobs for rollout in group.rollouts] for group in groups]
    assert (3, 4, 10) == scored.logprobs.shape
    np.testing.assert_allclose(np.array(drawn), np.array(scored.logprobs), rtol=1e-5, atol=1e-4)


def test_top_p_reaches_the_draw(policy: Policy) -> None:
    """A nucleus of next to nothing holds one token, so every draw is the likeliest."""
    (group, *_) = draw(config(top_p=1e-6).build(policy, seed=1), policy)

    assert 1 == len({rollout.token_ids for rollout in group.rollouts})
    assert all(logprob < 0 for r in group.rollouts for logprob in r.sampler_logprobs)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("group_size", 1, "rollout.group_size must be at least 2, got 1"),
        ("max_tokens", 1, "rollout.max_tokens must be at least 2, got 1"),
        ("temperature", 0.0, "rollout.temperature must be above 0, got 0.0"),
        ("temperature", -1.0, "rollout.temperature must be above 0, got -1.0"),
        ("temperature", float("nan"), "rollout.temperature must be above 0, got nan"),
        ("temperature", float("inf"), "rollout.temperature must be above 0, got inf"),
        ("top_p", 0.0, r"rollout.top_p must lie in 1e-06 to 1, got 0.0"),
        ("top_p", 1.1, r"rollout.top_p must lie in 1e-06 to 1, got 1.1"),
        ("max_staleness", -1, "rollout.max_staleness must be 0 or more updates, got -1"),
        ("sync_every", 0, "rollout.sync_every must be at least 1 step, got 0"),
    ],
)
def test_a_wrong_value_is_refused_with_its_key(key: str, value: float, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        config(**{key: value})
