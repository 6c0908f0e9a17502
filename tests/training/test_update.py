"""The updates of a step: what their gradient is, what they leave alone, what they make likelier."""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from architectures import capped, windowed
from mlx import optimizers
from mlx.utils import tree_flatten, tree_map
from mlx_lm.models import qwen2

from tersely.objective.aggregation import Aggregation
from tersely.objective.config import GrpoConfig, LossConfig, StudyConfig
from tersely.objective.correction_config import (
    CorrectionConfig,
    Level,
    MisConfig,
    NoCorrection,
    TisConfig,
)
from tersely.objective.losses import Loss, LossInputs, LossParts
from tersely.policy.load import Policy
from tersely.policy.logprobs import completion_logprobs
from tersely.records import Batch, Example, Group, Prompt, Rollout
from tersely.rollout.local import LocalConfig
from tersely.rollout.sampler import Snapshot
from tersely.training.config import Precision, TrainerConfig
from tersely.training.precision import Weights
from tersely.training.update import Updater

Load = Callable[..., Policy]
Arrays = dict[str, np.ndarray]

ADVANTAGES = [[1.0, -1.0, 0.5, -0.5], [-1.5, 0.5, 0.5, 0.5], [2.0, -1.0, -1.0, 0.0]]
"""P = 3, G = 4."""
MAX_TOKENS = 10
BOTH = pytest.mark.parametrize("architecture", ["qwen2", "lfm2"])


class Recording(Weights):
    """Weights that keep every gradient they are moved by."""

    def __init__(self, policy: Policy, optimizer: optimizers.Optimizer) -> None:
        super().__init__(policy.model, optimizer, Precision.fp32, seed=1)
        self.gradients: list[Arrays] = []

    def step(self, gradient: Any) -> float:
        self.gradients.append({name: np.array(array) for name, array in tree_flatten(gradient)})
        return super().step(gradient)


def sampled(
    policy: Policy, prompts: Sequence[Prompt], step: int = 0, temperature: float = 1.0
) -> Batch:
    """Three groups of ragged rollouts, from the policy's weights as they are now."""
    config = LocalConfig(group_size=4, max_tokens=MAX_TOKENS, temperature=temperature)
    sampler = config.build(policy, 1)
    return Batch(step, sampler.sample(prompts[:3], Snapshot(policy.parameters(), step), step))


def updater(
    policy: Policy,
    optimizer: optimizers.Optimizer,
    *,
    beta: float = 0.0,
    reference: nn.Module | None = None,
    loss: Loss | None = None,
    correction: CorrectionConfig | None = None,
    temperature: float = 1.0,
    aggregation: Aggregation = Aggregation.sequence_mean,
    recording: Recording | None = None,
    **trainer: Any,
) -> Updater:
    defaults = {"steps": 1, "prompts_per_step": 3, "max_gradient_norm": 1e6}
    correction = correction or NoCorrection()
    return Updater(
        policy.model,
        reference or (policy.reference() if beta else None),
        loss or GrpoConfig(beta=beta).build(correction.build()),
        recording or Weights(policy.model, optimizer, Precision.fp32, seed=1),
        aggregation=aggregation,
        trainer=TrainerConfig(**defaults | trainer),
        max_tokens=MAX_TOKENS,
        temperature=temperature,
        decoupled=correction.decoupled,
    )


def gradients(
    policy: Policy, batch: Batch, advantages: Sequence[Sequence[float]] = ADVANTAGES, **more: Any
) -> list[Arrays]:
    """Of each update of a step that moves nothing."""
    recording = Recording(policy, optimizers.SGD(0.0))
    updater(policy, recording.optimizer, recording=recording, **more).step(batch, advantages)
    return recording.gradients


def adamw(learning_rate: float = 1e-2, weight_decay: float = 0.0) -> optimizers.Optimizer:
    return optimizers.AdamW(learning_rate, weight_decay=weight_decay, bias_correction=True)


def weights(policy: Policy) -> Arrays:
    return {name: np.array(array) for name, array in tree_flatten(policy.parameters())}


def moved(before: Arrays, after: Arrays) -> Arrays:
    return {name: before[name] - after[name] for name in before}


def norm(arrays: Arrays) -> float:
    return math.sqrt(sum(float((array.astype(np.float64) ** 2).sum()) for array in arrays.values()))


def assert_near(expected: Arrays, actual: Arrays, relative: float = 1e-5) -> None:
    """Leaf by leaf, by L2 distance."""
    assert expected.keys() == actual.keys()
    for name, array in expected.items():
        off = np.linalg.norm(array - actual[name])
        assert off <= relative * np.linalg.norm(array), name


def shake(policy: Policy) -> None:
    """Move every parameter by a few per cent, so that ratios are not 1 and the KL is not 0."""
    policy.model.update(
        tree_map(
            lambda array: array * (1 + 0.05 * mx.random.normal(array.shape, key=mx.random.key(11))),
            policy.parameters(),
        )
    )


def plain_loss(
    model: nn.Module,
    reference: nn.Module,
    batch: Batch,
    *,
    aggregation: Aggregation,
    beta: float,
    temperature: float,
) -> mx.array:
    """Every completion by itself with its prompt, no cache, logits at all positions."""
    rollouts = [(group.prompt, r) for group in batch.groups for r in group.rollouts]
    tokens = sum(len(rollout.token_ids) for _, rollout in rollouts)

    def logprobs(model: nn.Module, prompt: Prompt, rollout: Rollout) -> mx.array:
        logits = model(mx.array([[*prompt.token_ids, *rollout.token_ids]]))[0] / temperature
        logits = logits[len(prompt.token_ids) - 1 : -1]
        every = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
        return every[mx.arange(len(logits)), mx.array(rollout.token_ids)]

    total = mx.array(0.0)
    advantages = [advantage for group in ADVANTAGES for advantage in group]
    for (prompt, rollout), advantage in zip(rollouts, advantages, strict=True):
        own = logprobs(model, prompt, rollout)
        ratio = mx.exp(own - mx.array(rollout.sampler_logprobs))
        surrogate = -mx.minimum(ratio * advantage, mx.clip(ratio, 0.8, 1.2) * advantage)
        above = mx.stop_gradient(logprobs(reference, prompt, rollout)) - own
        token = surrogate + beta * (mx.exp(above) - above - 1)
        weight = {
            Aggregation.sequence_mean: 1 / (12 * len(own)),
            Aggregation.token_mean: 1 / tokens,
            Aggregation.constant: 1 / (12 * MAX_TOKENS),
        }[aggregation]
        total = total + weight * token.sum()
    return total


@BOTH
@pytest.mark.parametrize("aggregation", Aggregation)
def test_the_gradient_is_that_of_the_batch_s_loss_on_the_plain_path(
    aggregation: Aggregation, architecture: str, eager: Load, prompts: Sequence[Prompt]
) -> None:
    """Three groups, one at a time, with a reference, at a temperature."""
    policy = eager(architecture)
    batch = sampled(policy, prompts, temperature=0.8)
    reference = policy.reference()
    shake(policy)
    beta = 0.3
    value, gradient = nn.value_and_grad(
        policy.model,
        lambda: plain_loss(
            policy.model, reference, batch, aggregation=aggregation, beta=beta, temperature=0.8
        ),
    )()
    expected = {name: np.array(array) for name, array in tree_flatten(gradient)}
    recording = Recording(policy, optimizers.SGD(0.0))

    update = updater(
        policy,
        recording.optimizer,
        beta=beta,
        reference=reference,
        temperature=0.8,
        aggregation=aggregation,
        recording=recording,
    )
    metrics = update.step(batch, ADVANTAGES).metrics

    assert {
        *(f"loss/{name}" for name in LossParts._fields),
        "update/gradient_norm",
        "update/clipped_share",
        "update/changed_share",
    } == metrics.keys()
    assert value.item() == pytest.approx(metrics["loss/total"], rel=1e-5, abs=1e-6)
    assert metrics["loss/kl_reference"] > 1e-3
    assert metrics["loss/total"] == pytest.approx(
        metrics["loss/surrogate"] + beta * metrics["loss/kl_reference"], abs=1e-6
    )
    assert norm(expected) == pytest.approx(metrics["update/gradient_norm"], rel=1e-4)
    (actual,) = recording.gradients
    assert_near(expected, actual, relative=2e-5)  # both are float32


@BOTH
@pytest.mark.parametrize("aggregation", Aggregation)
def test_chunks_and_checkpoints_make_the_same_update(
    aggregation: Aggregation, architecture: str, eager: Load, prompts: Sequence[Prompt]
) -> None:
    """Also a few rows of the vocabulary at a time."""
    policy = eager(architecture)
    batch = sampled(policy, prompts)
    shake(policy)
    more: dict[str, Any] = {"aggregation": aggregation, "beta": 0.3}
    (whole,) = gradients(policy, batch, **more)

    for trainer in (
        {"rollouts_per_chunk": 1},
        {"rollouts_per_chunk": 2},
        {"rollouts_per_chunk": 3, "checkpoint_layers": True},
        {"checkpoint_layers": True},
        {"vocabulary_per_chunk": 300},
    ):
        assert_near(whole, *gradients(policy, batch, **more, **trainer))


@BOTH
def test_a_low_memory_limit_makes_smaller_chunks_and_the_same_update(
    architecture: str, eager: Load, prompts: Sequence[Prompt]
) -> None:
    policy = eager(architecture)
    batch = sampled(policy, prompts)
    shake(policy)
    lengths = [len(rollout.token_ids) for rollout in batch.groups[2].rollouts]
    prompt = len(batch.groups[2].prompt.token_ids)

    def largest(limit: float) -> int:
        plan = updater(policy, adamw(), memory_limit_gb=limit).memory.plan(prompt, lengths)
        return max(len(chunk.rows) for chunk in plan.chunks)

    assert largest(8.0) == 4
    assert largest(1e-3) == 1
    (whole,) = gradients(policy, batch, memory_limit_gb=8.0)
    (pieces,) = gradients(policy, batch, memory_limit_gb=1e-3)
    assert_near(whole, pieces)


def test_gradients_are_cut_to_the_norm_and_reported_before(
    eager: Load, prompts: Sequence[Prompt]
) -> None:
    """Plain descent with step size 1 moves the weights by exactly the clipped gradient."""
    free, held = eager(), eager()
    batch, before = sampled(free, prompts), weights(free)

    long = updater(free, optimizers.SGD(1.0)).step(batch, ADVANTAGES).metrics
    assert long["update/gradient_norm"] > 0.01
    short = updater(held, optimizers.SGD(1.0), max_gradient_norm=0.01).step(batch, ADVANTAGES)

    assert long["update/gradient_norm"] == pytest.approx(short.metrics["update/gradient_norm"])
    assert (0.0, 1.0) == (long["update/clipped_share"], short.metrics["update/clipped_share"])
    assert long["update/gradient_norm"] == pytest.approx(
        norm(moved(before, weights(free))), rel=1e-3
    )
    assert 0.01 == pytest.approx(norm(moved(before, weights(held))), rel=1e-3)


@BOTH
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_the_ratio_of_fresh_rollouts_is_1(
    architecture: str, temperature: float, eager: Load, prompts: Sequence[Prompt]
) -> None:
    """Policy and sampler speak of one distribution, at the sampler's temperature too."""
    policy = eager(architecture)
    batch = sampled(policy, prompts, temperature=temperature)

    metrics = updater(policy, adamw(), temperature=temperature).step(batch, ADVANTAGES).metrics

    assert 1 == pytest.approx(metrics["loss/ratio_mean"], abs=1e-5)
    assert 0 == pytest.approx(metrics["loss/mismatch_kl"], abs=1e-6)
    assert 0 == metrics["loss/clip_share"]


def test_the_ratio_of_stale_rollouts_is_not_1(eager: Load, prompts: Sequence[Prompt]) -> None:
    """The study compared the policy with itself, so its ratio was 1 however old the rollouts
    were. Here they keep what their sampler said, and the clip has something to hold."""
    policy = eager()
    batch = sampled(policy, prompts)
    update = updater(policy, adamw())

    fresh = update.step(batch, ADVANTAGES).metrics
    stale = update.step(batch, ADVANTAGES).metrics

    assert fresh["loss/mismatch_kl"] < 1e-6
    assert stale["loss/mismatch_kl"] > 1e-3
    assert abs(stale["loss/ratio_mean"] - 1) > 1e-2
    assert stale["loss/clip_share"] > 0


SEVERAL = pytest.mark.parametrize(
    "several", [{"inner_updates": 2}, {"mini_batches": 3}, {"inner_updates": 2, "mini_batches": 3}]
)


@SEVERAL
def test_with_several_updates_too_the_ratio_is_against_the_sampler(
    several: dict[str, int], eager: Load, prompts: Sequence[Prompt]
) -> None:
    """Stale rollouts, and updates that move nothing: each has the ratio that one alone has."""
    policy = eager()
    batch = sampled(policy, prompts)
    shake(policy)

    metrics = updater(policy, optimizers.SGD(0.0), **several).step(batch, ADVANTAGES).metrics
    one = updater(policy, optimizers.SGD(0.0)).step(batch, ADVANTAGES).metrics

    # Mini-batches of a prompt each: their means are over other tokens.
    assert abs(metrics["loss/ratio_mean"] - 1) > 1e-3
    assert metrics["loss/mismatch_kl"] > 1e-3
    if "mini_batches" not in several:
        assert one["loss/ratio_mean"] == pytest.approx(metrics["loss/ratio_mean"], rel=1e-6)
        assert one["loss/clip_share"] == metrics["loss/clip_share"] > 0


CORRECTED = pytest.mark.parametrize(
    "correction",
    [
        TisConfig(),
        TisConfig(level=Level.sequence),
        MisConfig(level=Level.token, cap=1.1),
        MisConfig(),
    ],
)


@CORRECTED
@pytest.mark.parametrize("several", [{}, {"inner_updates": 2}, {"mini_batches": 3}])
def test_corrected_the_ratio_is_against_the_policy_before_the_first_update(
    several: dict[str, int],
    correction: CorrectionConfig,
    eager: Load,
    prompts: Sequence[Prompt],
) -> None:
    """Stale rollouts, and updates that move nothing: the sampler is off, and the ratio is 1."""
    policy = eager()
    batch = sampled(policy, prompts)
    shake(policy)

    update = updater(policy, optimizers.SGD(0.0), correction=correction, **several)
    metrics = update.step(batch, ADVANTAGES).metrics

    assert 1 == pytest.approx(metrics["loss/ratio_mean"], abs=1e-5)
    assert 0 == metrics["loss/clip_share"]
    assert metrics["loss/mismatch_kl"] > 1e-3


@CORRECTED
def test_one_update_is_its_own_proximal_policy(
    correction: CorrectionConfig, eager: Load, prompts: Sequence[Prompt]
) -> None:
    """The first of two updates, whose proximal policy was evaluated apart, has the gradient of an
    only one, whose was not; another one than without a correction."""
    policy = eager()
    batch = sampled(policy, prompts)
    shake(policy)

    (alone,) = gradients(policy, batch, correction=correction)
    first, _ = gradients(policy, batch, correction=correction, inner_updates=2)
    (uncorrected,) = gradients(policy, batch)

    assert_near(alone, first, relative=1e-4)
    assert norm(moved(alone, uncorrected)) > 1e-2 * norm(uncorrected)


@CORRECTED
def test_fresh_rollouts_need_no_correction(
    correction: CorrectionConfig, eager: Load, prompts: Sequence[Prompt]
) -> None:
    """Every weight is 1, and the gradient what it is without."""
    policy = eager()
    batch = sampled(policy, prompts)

    (expected,) = gradients(policy, batch)
    (actual,) = gradients(policy, batch, correction=correction)

    assert_near(expected, actual, relative=1e-4)


@SEVERAL
def test_from_the_second_update_on_the_clip_has_something_to_hold(
    several: dict[str, int], eager: Load, prompts: Sequence[Prompt]
) -> None:
    """On fresh rollouts, whose first update has ratio 1 and nothing to hold."""
    policy = eager()
    batch = sampled(policy, prompts)
    update = updater(policy, adamw(), **several)

    metrics = update.step(batch, ADVANTAGES).metrics

    assert abs(metrics["loss/ratio_mean"] - 1) > 1e-3
    assert metrics["loss/clip_share"] > 0


@SEVERAL
def test_proximal_logprobs_are_frozen_and_the_mini_batches_take_turns(
    several: dict[str, int], eager: Load, prompts: Sequence[Prompt]
) -> None:
    """Each update sees what the policy said of its groups before the first, although it has moved
    by then: the second round has the numbers of the first, in the same order."""
    policy = eager()
    batch = sampled(policy, prompts)
    shake(policy)
    seen: list[np.ndarray] = []
    grpo = GrpoConfig(beta=0.0).build()

    def watched(logprobs: mx.array, inputs: LossInputs) -> LossParts:
        assert inputs.proximal_logprobs is not None
        seen.append(np.array(inputs.proximal_logprobs))
        return grpo(logprobs, inputs)

    before = [
        np.array(
            completion_logprobs(
                policy.model,
                [group.prompt.token_ids],
                [[rollout.token_ids for rollout in group.rollouts]],
            ).logprobs[0]
        )
        for group in batch.groups
    ]
    update = updater(
        policy, adamw(), loss=watched, correction=TisConfig(), rollouts_per_chunk=4, **several
    )
    update.step(batch, ADVANTAGES)

    assert 3 * several.get("inner_updates", 1) == len(seen)
    for place, proximal in enumerate(seen):
        expected = before[place % 3]
        ordered = np.array(sorted(proximal.sum(axis=1)))
        np.testing.assert_allclose(np.array(sorted(expected.sum(axis=1))), ordered, rtol=1e-4)


@pytest.mark.parametrize("aggregation", Aggregation)
def test_a_mini_batch_is_a_batch_of_its_own(
    aggregation: Aggregation, eager: Load, prompts: Sequence[Prompt]
) -> None:
    """Its loss is averaged over its own completions and tokens: the gradients of three mini-batches
    are those of three steps of one prompt."""
    policy = eager()
    batch = sampled(policy, prompts)

    parts = gradients(policy, batch, aggregation=aggregation, mini_batches=3)

    assert 3 == len(parts)
    for group, advantages, part in zip(batch.groups, ADVANTAGES, parts, strict=True):
        (alone,) = gradients(
            policy, Batch(0, (group,)), [advantages], aggregation=aggregation, prompts_per_step=1
        )
        assert_near(alone, part, relative=1e-4)


def test_metrics_of_several_updates_are_their_mean(eager: Load, prompts: Sequence[Prompt]) -> None:
    policy = eager()
    batch = sampled(policy, prompts)

    def metrics(groups: slice, **trainer: Any) -> dict[str, float]:
        part = Batch(0, batch.groups[groups])
        update = updater(policy, optimizers.SGD(0.0), log_entropy=True, **trainer)
        return update.step(part, ADVANTAGES[groups]).metrics

    whole = metrics(slice(3), mini_batches=3)
    each = [metrics(slice(p, p + 1), prompts_per_step=1) for p in range(3)]

    for name in whole:
        mean = sum(one[name] for one in each) / 3
        assert mean == pytest.approx(whole[name], rel=1e-4, abs=1e-6), name


@pytest.mark.parametrize(
    ("trainer", "updates"),
    [({}, 1), ({"inner_updates": 3}, 3), ({"inner_updates": 2, "mini_batches": 3}, 6)],
)
def test_the_updates_of_a_step_are_inner_updates_times_mini_batches(
    trainer: dict[str, int], updates: int, eager: Load, prompts: Sequence[Prompt]
) -> None:
    policy = eager()
    optimizer = adamw()
    batch = sampled(policy, prompts)

    updated = updater(policy, optimizer, **trainer).step(batch, ADVANTAGES)

    assert (updates, 0) == (optimizer.step.item(), sum(updated.left_out))


@pytest.mark.parametrize(
    ("trainer", "beta", "passes"),
    [
        # The prompt and one chunk.
        ({}, 0.0, 2),
        # And both once more by the reference.
        ({}, 0.1, 4),
        # Both for each of two updates; corrected, once more for the proximal logprobs.
        ({"inner_updates": 2}, 0.0, 4),
        ({"inner_updates": 2, "correction": TisConfig()}, 0.0, 6),
        # For one update of each; corrected, once more.
        ({"mini_batches": 3}, 0.0, 2),
        ({"mini_batches": 3, "correction": TisConfig()}, 0.0, 4),
        # An only update is its own proximal policy.
        ({"correction": TisConfig()}, 0.0, 2),
        # The prompt, four chunks, and the prompt for its own gradient.
        ({"rollouts_per_chunk": 1}, 0.0, 6),
    ],
)
def test_no_pass_through_the_model_is_spent_that_is_not_needed(
    trainer: dict[str, Any],
    beta: float,
    passes: int,
    eager: Load,
    prompts: Sequence[Prompt],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Passes for each of the three groups. With one update a step the policy is evaluated once."""
    policy, calls = eager(), []
    batch = sampled(policy, prompts)
    update = updater(policy, adamw(), beta=beta, **trainer)
    trunk = type(policy.model.model)
    call = trunk.__call__

    def counted(self: nn.Module, inputs: mx.array, *args: Any, **kwargs: Any) -> mx.array:
        calls.append(inputs.shape)
        return call(self, inputs, *args, **kwargs)

    monkeypatch.setattr(trunk, "__call__", counted)
    update.step(batch, ADVANTAGES)

    assert 3 * passes == len(calls)


def test_divergence_from_the_reference_is_0_at_the_start_and_grows(
    eager: Load, prompts: Sequence[Prompt]
) -> None:
    policy = eager()
    update = updater(policy, adamw(), beta=1e-4)

    first = update.step(sampled(policy, prompts, step=0), ADVANTAGES).metrics
    second = update.step(sampled(policy, prompts, step=1), ADVANTAGES).metrics

    assert 0 == pytest.approx(first["loss/kl_reference"], abs=1e-6)
    assert second["loss/kl_reference"] > 1e-3


def test_a_large_beta_holds_the_policy_at_its_reference(
    eager: Load, prompts: Sequence[Prompt]
) -> None:
    """Ten updates on the same rollouts, with and without."""

    def drift(beta: float) -> float:
        policy = eager()
        batch, reference = sampled(policy, prompts), policy.reference()
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


@pytest.mark.parametrize("trainer", [{}, {"inner_updates": 2}])
def test_no_advantage_and_no_decay_leave_every_weight_as_it_was(
    trainer: dict[str, int], eager: Load, prompts: Sequence[Prompt]
) -> None:
    """Groups of equal rewards must not become noise in Adam's first step."""
    policy = eager()
    batch, before = sampled(policy, prompts), weights(policy)

    metrics = updater(policy, adamw(), **trainer).step(batch, [[0.0] * 4] * 3).metrics

    assert 0 == metrics["update/gradient_norm"] == metrics["update/changed_share"]
    assert all(not change.any() for change in moved(before, weights(policy)).values())


def test_weight_decay_is_decoupled(eager: Load, prompts: Sequence[Prompt]) -> None:
    """Without a gradient, weights shrink by learning rate times decay: 0.01 * 0.5 = 0.5 %."""
    policy = eager()
    batch, before = sampled(policy, prompts), weights(policy)

    updater(policy, adamw(0.01, weight_decay=0.5)).step(batch, [[0.0] * 4] * 3)

    for name, after in weights(policy).items():
        np.testing.assert_allclose(before[name] * 0.995, after, rtol=1e-6)


def test_the_share_of_weights_that_an_update_changed(
    eager: Load, prompts: Sequence[Prompt]
) -> None:
    """Of the study's learning rate float32 loses next to nothing; what has no gradient does not
    change: most rows of the embedding have one, through the LM head."""
    policy = eager()
    batch, before = sampled(policy, prompts), weights(policy)

    metrics = updater(policy, adamw(2e-6)).step(batch, ADVANTAGES).metrics

    changes = moved(before, weights(policy))
    size = sum(change.size for change in changes.values())
    changed = sum(np.count_nonzero(change) for change in changes.values())
    assert changed / size == pytest.approx(metrics["update/changed_share"], abs=1e-9)
    assert 0.9 < metrics["update/changed_share"] <= 1


def test_the_entropy_is_the_mean_over_all_tokens(eager: Load, prompts: Sequence[Prompt]) -> None:
    """-sum p log p of each token's distribution, over the batch; not there unless asked for."""
    policy = eager()
    batch = sampled(policy, prompts, temperature=0.7)
    entropies: list[float] = []
    for group in batch.groups:
        prompt = group.prompt.token_ids
        for rollout in group.rollouts:
            whole = mx.array([[*prompt, *rollout.token_ids]])
            p = mx.softmax(policy.model(whole)[0, len(prompt) - 1 : -1] / 0.7, axis=-1)
            entropies += (-(p * mx.log(p)).sum(axis=-1)).tolist()

    asked = updater(policy, optimizers.SGD(0.0), temperature=0.7, log_entropy=True)
    not_asked = updater(policy, optimizers.SGD(0.0), temperature=0.7)

    metrics = asked.step(batch, ADVANTAGES).metrics
    assert np.mean(entropies) == pytest.approx(metrics["policy/entropy"], rel=1e-5)
    assert "policy/entropy" not in not_asked.step(batch, ADVANTAGES).metrics


def ended(batch: Batch, *, cut: bool = False, alone: bool = False) -> Batch:
    """The batch with the first two completions of each group ended by themselves, `cut` without
    the token that ended them; `alone` has no other token in the very first one."""

    def changed(at: int, place: int, rollout: Rollout) -> Rollout:
        kept = 1 if alone and at == place == 0 else len(rollout.token_ids) - (cut and place < 2)
        return replace(
            rollout,
            token_ids=rollout.token_ids[:kept],
            sampler_logprobs=rollout.sampler_logprobs[:kept],
            finish_reason="stop" if place < 2 and not cut else "length",
        )

    groups = tuple(
        replace(
            group,
            rollouts=tuple(changed(at, place, each) for place, each in enumerate(group.rollouts)),
        )
        for at, group in enumerate(batch.groups)
    )
    return replace(batch, groups=groups)


LOSSES = pytest.mark.parametrize("loss", [GrpoConfig(beta=0.3), StudyConfig(beta=0.3)])


@LOSSES
@pytest.mark.parametrize("aggregation", Aggregation)
def test_without_the_end_of_turn_the_update_is_that_of_completions_cut_before_it(
    aggregation: Aggregation, loss: LossConfig, eager: Load, prompts: Sequence[Prompt]
) -> None:
    """Weights, gradient and all that is logged; one label less of each that ended by itself, and
    none of those that the limit cut."""
    policy = eager()
    batch = sampled(policy, prompts)
    reference = policy.reference()
    shake(policy)
    labels: list[float] = []
    built = loss.build()

    def counting(logprobs: mx.array, inputs: LossInputs) -> LossParts:
        labels[-1] += inputs.mask.sum().item()
        return built(logprobs, inputs)

    def update(batch: Batch, train_end_of_turn: bool) -> tuple[Arrays, dict[str, float]]:
        labels.append(0)
        recording = Recording(policy, optimizers.SGD(0.0))
        made = updater(
            policy, recording.optimizer, loss=counting, reference=reference, recording=recording,
            aggregation=aggregation, train_end_of_turn=train_end_of_turn, log_entropy=True,
        ).step(batch, ADVANTAGES)  # fmt: skip
        return recording.gradients[0], made.metrics

    untrained, metrics = update(ended(batch), False)
    expected, cut = update(ended(batch, cut=True), True)
    trained, _ = update(ended(batch), True)

    tokens = sum(len(rollout.token_ids) for group in batch.groups for rollout in group.rollouts)
    assert [tokens - 6, tokens - 6, tokens] == labels
    assert_near(expected, untrained)
    assert cut == pytest.approx(metrics, rel=1e-5, abs=1e-7)
    assert any(not np.allclose(trained[name], untrained[name]) for name in trained)


@LOSSES
@pytest.mark.parametrize("aggregation", Aggregation)
def test_a_completion_of_the_end_of_turn_alone_teaches_nothing_where_that_is_no_label(
    aggregation: Aggregation, loss: LossConfig, eager: Load, prompts: Sequence[Prompt]
) -> None:
    """Whatever its advantage; where all are such, the gradient is 0. Nothing is not a number."""
    policy = eager()
    batch = ended(sampled(policy, prompts), alone=True)
    assert 0 == batch.groups[0].rollouts[0].length
    more: dict[str, Any] = {
        "loss": loss.build(),
        "reference": policy.reference(),
        "aggregation": aggregation,
        "train_end_of_turn": False,
    }
    (one,) = gradients(policy, batch, **more)
    (other,) = gradients(policy, batch, [[9.0, *ADVANTAGES[0][1:]], *ADVANTAGES[1:]], **more)
    assert_near(one, other)
    assert 0 < norm(one) < math.inf

    first = batch.groups[0]
    empty = replace(batch, groups=(replace(first, rollouts=first.rollouts[:1] * 4),) * 3)
    (nothing,) = gradients(policy, empty, log_entropy=True, **more)
    assert 0 == norm(nothing)


def broken(batch: Batch, place: int = 0) -> Batch:
    """One completion's sampler said exp(-1e4) of its tokens; its ratio is infinite, and with an
    advantage below 0 the clip does not hold it."""
    group = batch.groups[place]
    own = next(row for row, advantage in enumerate(ADVANTAGES[place]) if advantage < 0)
    rollouts = list(group.rollouts)
    rollouts[own] = Rollout(
        rollouts[own].token_ids,
        (-1e4,) * len(rollouts[own].token_ids),
        rollouts[own].finish_reason,
        0,
        rollouts[own].text,
    )
    groups = list(batch.groups)
    groups[place] = Group(group.prompt, tuple(rollouts))
    return Batch(batch.step, tuple(groups))


def state(optimizer: optimizers.Optimizer) -> dict[str, bytes]:
    return {name: np.array(array).tobytes() for name, array in tree_flatten(optimizer.state)}


@pytest.mark.parametrize("cause", ["advantage", "sampler"])
def test_an_update_that_is_not_finite_is_left_out(
    cause: str, eager: Load, prompts: Sequence[Prompt]
) -> None:
    """Weights and optimizer are as before, to the bit, and the next update is what it would have
    been."""
    policy, other = eager(), eager()
    batch, optimizer, others_optimizer = sampled(policy, prompts), adamw(), adamw()
    update, others_update = updater(policy, optimizer), updater(other, others_optimizer)
    bad_batch, bad_advantages = batch, ADVANTAGES
    if cause == "advantage":
        bad_advantages = [*ADVANTAGES[:2], [math.nan, 0.0, 0.0, 0.0]]
    else:
        bad_batch = broken(batch)
    for each in (update, others_update):
        each.step(batch, ADVANTAGES)
    before, state_before = weights(policy), state(optimizer)

    assert (True,) == update.step(bad_batch, bad_advantages).left_out

    assert all(not change.any() for change in moved(before, weights(policy)).values())
    assert state_before == state(optimizer)
    for each in (update, others_update):
        assert (False,) == each.step(batch, ADVANTAGES).left_out
    assert all(not off.any() for off in moved(weights(other), weights(policy)).values())
    assert state(others_optimizer) == state(optimizer)


def test_one_mini_batch_of_three_is_left_out_alone(eager: Load, prompts: Sequence[Prompt]) -> None:
    """In both rounds; what is reported is of the others, and finite."""
    policy, optimizer = eager(), adamw()
    batch = sampled(policy, prompts)
    advantages = [ADVANTAGES[0], [math.nan, 0.0, 0.0, 0.0], ADVANTAGES[2]]

    updated = updater(policy, optimizer, mini_batches=3, inner_updates=2).step(batch, advantages)

    assert (2, 4) == (sum(updated.left_out), optimizer.step.item())
    assert all(math.isfinite(value) for value in updated.metrics.values())


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
    update = updater(policy, adamw(1e-3), prompts_per_step=1)
    update.step(Batch(0, (Group(prompt, rollouts),)), [[1.0, -1.0]])
    gain = logprobs() - before

    assert gain[0].sum() > 0 > gain[1].sum()
    assert gain[0, 2] > 0.01  # the end of turn itself
    assert gain[1, 2] < -0.01  # going on instead


def of(model: nn.Module, **trainer: Any) -> Updater:
    """An updater of a model that has no tokenizer."""
    return Updater(
        model,
        None,
        GrpoConfig(beta=0.0).build(),
        Weights(model, adamw(), Precision.fp32, seed=1),
        aggregation=Aggregation.sequence_mean,
        trainer=TrainerConfig(**{"steps": 1} | trainer),
        max_tokens=MAX_TOKENS,
        temperature=1.0,
    )


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (windowed, "caches of this architecture cannot be shared by a group"),
        (capped, "logits of this architecture are more than one product with its LM head"),
    ],
    ids=["windowed", "capped"],
)
def test_a_slower_path_is_said(
    make: Callable[[], nn.Module], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, when training begins, and what it costs."""
    with caplog.at_level(logging.WARNING):
        of(make())
    (message,) = [record.getMessage() for record in caplog.records]
    assert said in message


def test_nothing_is_said_of_the_fast_path(eager: Load, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        updater(eager(), adamw())
        updater(eager("lfm2"), adamw())
    assert not caplog.records


def test_a_step_takes_little_above_weights_means_and_one_gradient() -> None:
    """Weights 1, AdamW's means 2, the gradient 1; measured 4.30 times the weights, a few leaves and
    activations included, one group or three. A gradient that outlives its group (it did, for a
    while) makes one more."""
    model = qwen2.Model(
        qwen2.ModelArgs(
            model_type="qwen2",
            hidden_size=256,
            num_hidden_layers=6,
            intermediate_size=1024,
            num_attention_heads=2,
            num_key_value_heads=1,
            rms_norm_eps=1e-6,
            vocab_size=1024,
        )
    )
    mx.eval(model.parameters())
    size = sum(array.nbytes for _, array in tree_flatten(model.parameters()))
    prompt = Prompt(Example("post", "words", ("a reference",)), tuple(range(10, 20)))
    rollouts = tuple(
        Rollout(tuple(range(30 + row, 38 + row)), (-7.0,) * 8, "length", 0, "") for row in range(4)
    )
    batch = Batch(0, (Group(prompt, rollouts),) * 3)
    standing = mx.get_active_memory() - size

    for trainer in ({}, {"rollouts_per_chunk": 1}):
        update = of(model, prompts_per_step=3, **trainer)
        update.step(batch, ADVANTAGES)
        mx.reset_peak_memory()
        update.step(batch, ADVANTAGES)
        assert mx.get_peak_memory() - standing < 4.7 * size
        del update
