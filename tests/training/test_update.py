"""One update: what its gradient is, what it leaves alone, and what it makes likelier."""

import math
from collections.abc import Callable, Sequence

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx import optimizers
from mlx.utils import tree_flatten, tree_map

from tersely.errors import TrainingDiverged
from tersely.objective.config import GrpoConfig
from tersely.objective.losses import GroupLoss, GroupTokens
from tersely.policy.load import Policy
from tersely.policy.logprobs import completion_logprobs
from tersely.records import Batch, Example, Group, Prompt, Rollout
from tersely.rollout.local import LocalConfig
from tersely.rollout.sampler import Snapshot
from tersely.training.update import Updater

Load = Callable[..., Policy]
ADVANTAGES = [[1.0, -1.0, 0.5, -0.5], [-1.5, 0.5, 0.5, 0.5], [2.0, -1.0, -1.0, 0.0]]
"""P = 3, G = 4."""
BOTH = pytest.mark.parametrize("architecture", ["qwen2", "lfm2"])


def sampled(
    policy: Policy, prompts: Sequence[Prompt], step: int = 0, temperature: float = 1.0
) -> Batch:
    """Three groups of ragged rollouts, from the policy's weights as they are now."""
    sampler = LocalConfig(group_size=4, max_tokens=10, temperature=temperature).build(policy, 1)
    return Batch(step, sampler.sample(prompts[:3], Snapshot(policy.parameters(), step), step))


def updater(
    policy: Policy,
    optimizer: optimizers.Optimizer,
    *,
    beta: float = 0.0,
    max_gradient_norm: float = math.inf,
    temperature: float = 1.0,
) -> Updater:
    return Updater(
        policy.model,
        policy.twin() if beta else None,
        GrpoConfig(beta=beta).build(),
        optimizer,
        max_gradient_norm=max_gradient_norm,
        temperature=temperature,
    )


def adamw(learning_rate: float = 1e-2, weight_decay: float = 0.0) -> optimizers.Optimizer:
    return optimizers.AdamW(learning_rate, weight_decay=weight_decay, bias_correction=True)


def weights(policy: Policy) -> dict[str, np.ndarray]:
    return {name: np.array(array) for name, array in tree_flatten(policy.parameters())}


def moved(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: before[name] - after[name] for name in before}


def norm(arrays: dict[str, np.ndarray]) -> float:
    return math.sqrt(sum(float((array.astype(np.float64) ** 2).sum()) for array in arrays.values()))


@BOTH
def test_groups_one_at_a_time_give_the_gradient_of_the_mean_loss(
    architecture: str, eager: Load, prompts: Sequence[Prompt]
) -> None:
    """Against all groups in one padded pass: the same loss and, by one step of plain descent
    with a large step size, the same gradient."""
    policy = eager(architecture)
    batch = sampled(policy, prompts, temperature=0.8)
    beta, loss_of = 0.3, GrpoConfig(beta=0.3).build()
    reference = policy.twin()
    policy.model.update(_shaken(policy))  # so that ratios are not 1 and the KL is not 0
    before = weights(policy)

    def mean_loss(model: nn.Module) -> mx.array:
        ids = [[rollout.token_ids for rollout in group.rollouts] for group in batch.groups]
        tokens = [group.prompt.token_ids for group in batch.groups]
        scored = completion_logprobs(model, tokens, ids, 0.8)
        other = mx.stop_gradient(completion_logprobs(reference, tokens, ids, 0.8).logprobs)
        sampler = np.zeros(scored.mask.shape, dtype=np.float32)
        for p, group in enumerate(batch.groups):
            for g, rollout in enumerate(group.rollouts):
                sampler[p, g, : len(rollout.token_ids)] = rollout.sampler_logprobs
        losses = [
            loss_of(
                GroupTokens(
                    scored.logprobs[p],
                    mx.array(sampler[p]),
                    other[p],
                    mx.array(ADVANTAGES[p]),
                    scored.mask[p],
                )
            ).total
            for p in range(3)
        ]
        return sum(losses) / 3

    value, gradient = nn.value_and_grad(policy.model, lambda: mean_loss(policy.model))()
    expected = {name: np.array(array) for name, array in tree_flatten(gradient)}

    step_size = 1000.0
    one = Updater(
        policy.model,
        reference,
        loss_of,
        optimizers.SGD(step_size),
        max_gradient_norm=math.inf,
        temperature=0.8,
    )
    updated = one.step(batch, ADVANTAGES)

    assert updated.loss.keys() == set(GroupLoss._fields)
    assert value.item() == pytest.approx(updated.loss["total"], abs=1e-5)
    assert updated.loss["kl_reference"] > 1e-3
    assert updated.loss["total"] == pytest.approx(
        updated.loss["surrogate"] + beta * updated.loss["kl_reference"], abs=1e-6
    )
    assert norm(expected) == pytest.approx(updated.gradient_norm, rel=1e-4)
    for name, change in moved(before, weights(policy)).items():
        off = np.linalg.norm(change / step_size - expected[name])
        assert off <= 1e-4 * max(np.linalg.norm(expected[name]), norm(expected) / 100), name


def _shaken(policy: Policy) -> dict[str, object]:
    """The parameters, each a few per cent off."""
    key = mx.random.key(11)
    return tree_map(
        lambda array: array * (1 + 0.05 * mx.random.normal(array.shape, key=key)),
        policy.parameters(),
    )


def test_gradients_are_cut_to_the_norm_and_reported_before(
    eager: Load, prompts: Sequence[Prompt]
) -> None:
    """Plain descent with step size 1 moves the weights by exactly the clipped gradient."""
    free, held = eager(), eager()
    batch, before = sampled(free, prompts), weights(free)

    long = updater(free, optimizers.SGD(1.0)).step(batch, ADVANTAGES).gradient_norm
    assert long > 0.01
    short = updater(held, optimizers.SGD(1.0), max_gradient_norm=0.01).step(batch, ADVANTAGES)

    assert long == pytest.approx(short.gradient_norm)
    assert long == pytest.approx(norm(moved(before, weights(free))), rel=1e-3)
    assert 0.01 == pytest.approx(norm(moved(before, weights(held))), rel=1e-3)


@BOTH
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_the_ratio_of_fresh_rollouts_is_1(
    architecture: str, temperature: float, eager: Load, prompts: Sequence[Prompt]
) -> None:
    """Policy and sampler speak of one distribution, at the sampler's temperature too."""
    policy = eager(architecture)
    batch = sampled(policy, prompts, temperature=temperature)

    loss = updater(policy, adamw(), temperature=temperature).step(batch, ADVANTAGES).loss

    assert 1 == pytest.approx(loss["ratio_mean"], abs=1e-5)
    assert 0 == pytest.approx(loss["kl_sampler"], abs=1e-6)
    assert 0 == loss["clip_share"]


def test_the_ratio_of_stale_rollouts_is_not_1(eager: Load, prompts: Sequence[Prompt]) -> None:
    """The study compared the policy with itself, so its ratio was 1 however old the rollouts
    were. Here they keep what their sampler said, and the clip has something to hold."""
    policy = eager()
    batch = sampled(policy, prompts)
    update = updater(policy, adamw())

    fresh = update.step(batch, ADVANTAGES).loss
    stale = update.step(batch, ADVANTAGES).loss

    assert fresh["kl_sampler"] < 1e-6
    assert stale["kl_sampler"] > 1e-3
    assert abs(stale["ratio_mean"] - 1) > 1e-2
    assert stale["clip_share"] > 0


def test_divergence_from_the_reference_is_0_at_the_start_and_grows(
    eager: Load, prompts: Sequence[Prompt]
) -> None:
    policy = eager()
    update = updater(policy, adamw(), beta=1e-4)

    first = update.step(sampled(policy, prompts, step=0), ADVANTAGES).loss
    second = update.step(sampled(policy, prompts, step=1), ADVANTAGES).loss

    assert 0 == pytest.approx(first["kl_reference"], abs=1e-6)
    assert second["kl_reference"] > 1e-3


def test_a_large_beta_holds_the_policy_at_its_reference(
    eager: Load, prompts: Sequence[Prompt]
) -> None:
    """Ten updates on the same rollouts, with and without."""

    def drift(beta: float) -> float:
        policy = eager()
        batch, reference = sampled(policy, prompts), policy.twin()
        update = updater(policy, adamw(1e-3), beta=beta)
        for _ in range(10):
            update.step(batch, ADVANTAGES)
        ids = [[rollout.token_ids for rollout in group.rollouts] for group in batch.groups]
        tokens = [group.prompt.token_ids for group in batch.groups]
        own, other = (
            completion_logprobs(model, tokens, ids).logprobs for model in (policy.model, reference)
        )
        return mx.abs(own - other).max().item()

    assert drift(beta=10.0) < drift(beta=0.0) / 2


def test_no_advantage_and_no_decay_leave_every_weight_as_it_was(
    eager: Load, prompts: Sequence[Prompt]
) -> None:
    """Groups of equal rewards must not become noise in Adam's first step."""
    policy = eager()
    batch, before = sampled(policy, prompts), weights(policy)

    updated = updater(policy, adamw()).step(batch, [[0.0] * 4] * 3)

    assert 0 == updated.gradient_norm
    assert all(not change.any() for change in moved(before, weights(policy)).values())


def test_weight_decay_is_decoupled(eager: Load, prompts: Sequence[Prompt]) -> None:
    """Without a gradient, weights shrink by learning rate times decay: 0.01 * 0.5 = 0.5 %."""
    policy = eager()
    batch, before = sampled(policy, prompts), weights(policy)

    updater(policy, adamw(0.01, weight_decay=0.5)).step(batch, [[0.0] * 4] * 3)

    for name, after in weights(policy).items():
        np.testing.assert_allclose(before[name] * 0.995, after, rtol=1e-6)


@pytest.mark.parametrize("cause", ["advantage", "sampler"])
def test_a_gradient_that_is_not_finite_never_reaches_the_weights(
    cause: str, eager: Load, prompts: Sequence[Prompt]
) -> None:
    """It is named with its step, counted from 1, and the weights and the optimizer are as before:
    the next update is what it would have been."""
    policy, other = eager(), eager()
    batch, before = sampled(policy, prompts), weights(policy)
    update = updater(policy, adamw())
    bad_batch, bad_advantages = batch, ADVANTAGES
    if cause == "advantage":
        bad_advantages = [*ADVANTAGES[:2], [math.nan, 0.0, 0.0, 0.0]]
    else:
        group = batch.groups[0]
        first = group.rollouts[1]  # advantage below 0, so that the clip does not hold it
        broken = Rollout(
            first.token_ids, (-1e4,) * len(first.token_ids), first.finish_reason, 0, first.text
        )
        rollouts = (group.rollouts[0], broken, *group.rollouts[2:])
        bad_batch = Batch(6, (Group(group.prompt, rollouts), *batch.groups[1:]))

    with pytest.raises(TrainingDiverged, match=r"step [17] is not finite .* as they were before"):
        update.step(bad_batch, bad_advantages)

    assert all(not change.any() for change in moved(before, weights(policy)).values())
    update.step(batch, ADVANTAGES)
    updater(other, adamw()).step(batch, ADVANTAGES)
    assert all(not off.any() for off in moved(weights(other), weights(policy)).values())


@BOTH
def test_what_was_better_than_average_becomes_likelier_and_so_does_ending_there(
    architecture: str, eager: Load
) -> None:
    """Two completions that differ in where they stop; the short one had the better reward."""
    policy = eager(architecture)
    end = policy.tokenizer.end_of_turn
    ids = [(700, 701, end), (700, 701, 702, 703)]
    prompt = Prompt(Example("post", "words", ("a reference",)), tuple(range(300, 320)))

    def logprobs() -> np.ndarray:
        return np.array(completion_logprobs(policy.model, [prompt.token_ids], [ids]).logprobs[0])

    before = logprobs()
    rollouts = tuple(
        Rollout(each, tuple(before[place, : len(each)].tolist()), reason, 0, "")
        for place, (each, reason) in enumerate(zip(ids, ("stop", "length"), strict=True))
    )
    update = updater(policy, adamw(1e-3))
    update.step(Batch(0, (Group(prompt, rollouts),)), [[1.0, -1.0]])
    gain = logprobs() - before

    assert gain[0].sum() > 0 > gain[1].sum()
    assert gain[0, 2] > 0.01  # the end of turn itself
    assert gain[1, 2] < -0.01  # going on instead
