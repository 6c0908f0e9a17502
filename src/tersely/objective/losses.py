"""Losses: what the update makes smaller."""

from typing import NamedTuple

import mlx.core as mx

from tersely.objective.terms import clipped_surrogate, k3, sequence_mean, was_clipped


class GroupLoss(NamedTuple):
    """The loss of one group and what is logged of it; every field a float32 scalar."""

    total: mx.array
    surrogate: mx.array
    kl_reference: mx.array
    """Mean k3 estimate of KL(policy || reference), in nats a token; 0 without a reference."""
    ratio_mean: mx.array
    """Mean of policy / sampler probability over tokens."""
    kl_sampler: mx.array
    """Mean k3 estimate of KL(policy || sampler), in nats a token."""
    clip_share: mx.array
    """Share of tokens whose ratio the clip holds back."""


class GroupTokens(NamedTuple):
    """Everything the loss of one group is made of; `[G, T]` float32 unless said."""

    policy_logprobs: mx.array
    sampler_logprobs: mx.array
    reference_logprobs: mx.array | None
    """None when `loss.beta` is 0."""
    advantages: mx.array
    """`[G]`"""
    mask: mx.array


def grpo(tokens: GroupTokens, *, clip_low: float, clip_high: float, beta: float) -> GroupLoss:
    """GRPO: clipped token-level surrogate plus beta times k3 KL to the reference.

    Tokens are averaged in each completion, then completions in the group (Shao et al., 2024,
    "DeepSeekMath", eq. 3). The ratio is policy over sampler, so rollouts that are one or more
    updates old have a real ratio.
    """
    log_ratio = tokens.policy_logprobs - tokens.sampler_logprobs
    ratio = mx.exp(log_ratio)
    advantages = tokens.advantages[:, None]
    surrogate = sequence_mean(
        clipped_surrogate(ratio, advantages, clip_low, clip_high), tokens.mask
    ).mean()
    kl_reference = mx.array(0.0)
    if tokens.reference_logprobs is not None:
        k3_reference = k3(tokens.policy_logprobs, tokens.reference_logprobs)
        kl_reference = sequence_mean(k3_reference, tokens.mask).mean()
    held = was_clipped(ratio, advantages, clip_low, clip_high)
    return GroupLoss(
        total=surrogate + beta * kl_reference,
        surrogate=surrogate,
        kl_reference=kl_reference,
        ratio_mean=_token_mean(ratio, tokens.mask),
        kl_sampler=_token_mean(k3(tokens.policy_logprobs, tokens.sampler_logprobs), tokens.mask),
        clip_share=_token_mean(held, tokens.mask),
    )


def _token_mean(values: mx.array, mask: mx.array) -> mx.array:
    return (values * mask).sum() / mask.sum()
