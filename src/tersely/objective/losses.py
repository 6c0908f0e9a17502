"""Losses: what the update makes smaller.

A loss is computed on chunks of a batch, and everything it returns adds up over them: each token
comes with its weight in the whole batch (`aggregation`).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import mlx.core as mx

from tersely.objective.correction import Correction, uncorrected
from tersely.objective.terms import clipped_surrogate, completion_mean, k3, was_clipped


class LossParts(NamedTuple):
    """The share that some rollouts have in the loss of their batch, and in what is logged of it.
    Every field is a float32 scalar and adds up over the chunks of a batch."""

    total: mx.array
    surrogate: mx.array
    kl_reference: mx.array
    """k3 estimate of KL(policy || reference), in nats, weighted as the loss is; 0 without a
    reference. `study` takes it of means over completions."""
    ratio_mean: mx.array
    """Mean over tokens of the ratio that is clipped (`correction`, or a completion's own)."""
    mismatch_kl: mx.array
    """Mean k3 estimate of KL(sampler || policy), in nats a token: the tokens are the sampler's."""
    reference_kl: mx.array
    """k3 of each token, and a plain mean over them: in the unit of `mismatch_kl`, whatever the
    loss makes of it."""
    clip_share: mx.array
    """Share of tokens whose ratio the clip holds back."""
    capped_share: mx.array
    """Share of tokens whose weight the correction's cap has lowered or made 0."""


class LossInputs(NamedTuple):
    """All that a loss needs of R rollouts beside the policy's log-probabilities; `[R, T]`
    float32 unless said."""

    proximal_logprobs: mx.array | None
    """Of the policy as it was before the first update on this batch. None where this is its only
    update, so that they are the policy's own, and where the correction does not need them."""
    sampler_logprobs: mx.array
    reference_logprobs: mx.array | None
    """None when `loss.beta` is 0."""
    advantages: mx.array
    """`[R]`"""
    mask: mx.array
    weights: mx.array
    """`[R]`: what a token of each rollout weighs in the batch (`aggregation.token_weights`)."""
    token_share: float
    """1 / tokens of the batch: what each token weighs in the plain means that are logged."""

    def take(self, rows: Sequence[int], length: int) -> "LossInputs":
        """Some of the rollouts, cut or kept to `length` tokens."""
        chosen = mx.array(list(rows))

        def tokens(array: mx.array) -> mx.array:
            return array[chosen, :length]

        return LossInputs(
            None if self.proximal_logprobs is None else tokens(self.proximal_logprobs),
            tokens(self.sampler_logprobs),
            None if self.reference_logprobs is None else tokens(self.reference_logprobs),
            self.advantages[chosen],
            tokens(self.mask),
            self.weights[chosen],
            self.token_share,
        )


Loss = Callable[[mx.array, LossInputs], LossParts]
"""The policy's log-probabilities `[R, T]` and everything else in, the rollouts' share out."""


def grpo(
    policy_logprobs: mx.array,
    inputs: LossInputs,
    *,
    clip_low: float,
    clip_high: float,
    beta: float,
    correction: Correction = uncorrected,
) -> LossParts:
    """GRPO: clipped token-level surrogate plus beta times k3 KL to the reference.

    Shao et al., 2024, "DeepSeekMath", eq. 3. How tokens are averaged is in `inputs.weights`; what
    `correction` makes of old rollouts concerns the surrogate alone.
    """
    mask = inputs.mask
    ratio, corrections, capped = correction(
        policy_logprobs, inputs.proximal_logprobs, inputs.sampler_logprobs, mask
    )
    advantages = inputs.advantages[:, None]
    weights = mask * inputs.weights[:, None]
    losses = corrections * clipped_surrogate(ratio, advantages, clip_low, clip_high)
    surrogate = (losses * weights).sum()
    to_reference = mx.zeros_like(mask)
    if inputs.reference_logprobs is not None:
        to_reference = k3(policy_logprobs, inputs.reference_logprobs)
    kl_reference = (to_reference * weights).sum()
    held = was_clipped(ratio, advantages, clip_low, clip_high)

    return LossParts(
        total=surrogate + beta * kl_reference,
        surrogate=surrogate,
        kl_reference=kl_reference,
        ratio_mean=token_mean(ratio, inputs),
        mismatch_kl=token_mean(k3(inputs.sampler_logprobs, policy_logprobs), inputs),
        reference_kl=token_mean(to_reference, inputs),
        clip_share=token_mean(held, inputs),
        capped_share=token_mean(capped, inputs),
    )


def study(
    policy_logprobs: mx.array,
    inputs: LossInputs,
    *,
    clip_low: float,
    clip_high: float,
    beta: float,
) -> LossParts:
    """What the study's code computes: one clipped ratio a completion, plus beta times one k3.

    With `m` for the mean over the tokens of a completion, `r = exp(m(policy) - m(proximal))` and
    the KL is `k3(m(policy), m(reference))`. The proximal policy is the policy itself right before
    the update, so at a first update r is 1 whoever sampled, and nothing is clipped. smolcluster,
    commit c60f3f3, `grpo/utils/training_utils.py` and `grpo/train_summarization.py`; the ratio is
    that of Zheng et al., 2025, "Group sequence policy optimization", eq. 7.

    A completion weighs what its tokens weigh together, so at r = 1 the slope of the surrogate is
    that of `grpo`. The k3 of a mean is far below the mean of k3.
    """
    mask = inputs.mask
    proximal = inputs.proximal_logprobs
    proximal = mx.stop_gradient(policy_logprobs if proximal is None else proximal)
    own = completion_mean(policy_logprobs, mask)
    ratio = mx.exp(own - completion_mean(proximal, mask))
    weights = mask.sum(axis=1) * inputs.weights
    losses = clipped_surrogate(ratio, inputs.advantages, clip_low, clip_high)
    surrogate = (losses * weights).sum()
    kl_reference, reference_kl = mx.array(0.0), mx.zeros_like(mask)
    if inputs.reference_logprobs is not None:
        to_reference = k3(own, completion_mean(inputs.reference_logprobs, mask))
        kl_reference = (to_reference * weights).sum()
        reference_kl = k3(policy_logprobs, inputs.reference_logprobs)
    held = was_clipped(ratio, inputs.advantages, clip_low, clip_high)

    return LossParts(
        total=surrogate + beta * kl_reference,
        surrogate=surrogate,
        kl_reference=kl_reference,
        ratio_mean=token_mean(ratio[:, None], inputs),
        mismatch_kl=token_mean(k3(inputs.sampler_logprobs, policy_logprobs), inputs),
        reference_kl=token_mean(reference_kl, inputs),
        clip_share=token_mean(held[:, None], inputs),
        capped_share=mx.array(0.0),
    )


def token_mean(values: mx.array, inputs: LossInputs) -> mx.array:
    """The share of these rollouts, `[G, T]` or `[G, 1]`, in the mean over the batch's tokens."""
    return (values * inputs.mask).sum() * inputs.token_share
