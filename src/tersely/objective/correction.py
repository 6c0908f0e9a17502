"""Off-policy correction: what the ratio is taken against, and what a token weighs for it.

A rollout comes from the sampler, which may be older than the policy or compute in other numbers.
Either the ratio is policy / sampler, and the clip holds the policy to the sampler. Or the two are
decoupled: the ratio is policy / proximal, the policy before the first update on the batch, so that
the clip bounds what these updates do, and the surrogate is multiplied by `w = proximal / sampler`,
as importance sampling asks for, with a cap against its variance.

Hilton, Cobbe and Schulman, 2022, "Batch size-invariance for policy optimization", has the
decoupled objective. All arrays are float32, `[R, T]`.
"""

from collections.abc import Callable
from typing import NamedTuple

import mlx.core as mx

from tersely.objective.correction_config import Level


class Corrected(NamedTuple):
    """What a surrogate is made of; `[R, T]`."""

    ratio: mx.array
    """Of the policy's probability to that which the clip holds it to; has the gradient."""
    weights: mx.array
    """What the surrogate of a token is multiplied by; a constant to the gradient."""
    capped: mx.array
    """1 where the cap has lowered the weight or made it 0, else 0."""


Correction = Callable[[mx.array, mx.array | None, mx.array, mx.array], Corrected]
"""The log-probabilities of policy, proximal policy and sampler and the mask in, each `[R, T]`.

Rows are whole completions. Proximal log-probabilities of None are the policy's own as they are
now, without their gradient: those of the only update on a batch.
"""


def uncorrected(
    policy_logprobs: mx.array,
    proximal_logprobs: mx.array | None,
    sampler_logprobs: mx.array,
    mask: mx.array,
) -> Corrected:
    """The ratio is policy / sampler, and every weight 1; the proximal policy plays no part.

    Schulman et al., 2017, "Proximal policy optimization algorithms", eq. 6.
    """
    ratio = mx.exp(policy_logprobs - sampler_logprobs)
    return Corrected(ratio, mx.ones_like(ratio), mx.zeros_like(ratio))


def tis(
    policy_logprobs: mx.array,
    proximal_logprobs: mx.array | None,
    sampler_logprobs: mx.array,
    mask: mx.array,
    *,
    level: Level,
    cap: float,
) -> Corrected:
    """Truncated importance sampling: the ratio is policy / proximal, its weight `min(w, cap)`.

    Ionides, 2008, "Truncated importance sampling"; for a sampler that computes otherwise
    than the trainer: Yao et al., 2025, "Your efficient RL framework secretly brings you off-policy
    RL training".
    """
    ratio, weights = _decoupled(policy_logprobs, proximal_logprobs, sampler_logprobs, mask, level)
    return Corrected(ratio, mx.minimum(weights, cap), _above(weights, cap))


def mis(
    policy_logprobs: mx.array,
    proximal_logprobs: mx.array | None,
    sampler_logprobs: mx.array,
    mask: mx.array,
    *,
    level: Level,
    cap: float,
) -> Corrected:
    """Masked importance sampling: the ratio is policy / proximal, its weight `w 1[w <= cap]`.

    Tokens whose weight is 0 still count where losses are averaged. Liu et al., 2025, "When speed
    kills stability: demystifying RL collapse from the training-inference mismatch".
    """
    ratio, weights = _decoupled(policy_logprobs, proximal_logprobs, sampler_logprobs, mask, level)
    # Not a product with the mask: an infinite weight times 0 is not a number.
    kept = mx.where(weights > cap, 0.0, weights)
    return Corrected(ratio, kept, _above(weights, cap))


def _decoupled(
    policy_logprobs: mx.array,
    proximal_logprobs: mx.array | None,
    sampler_logprobs: mx.array,
    mask: mx.array,
    level: Level,
) -> tuple[mx.array, mx.array]:
    """policy / proximal, and `w = proximal / sampler` without a cap."""
    proximal = policy_logprobs if proximal_logprobs is None else proximal_logprobs
    proximal = mx.stop_gradient(proximal)
    difference = (proximal - sampler_logprobs) * mask
    if level is Level.sequence:
        difference = mx.broadcast_to(difference.sum(axis=1, keepdims=True), mask.shape)
    return mx.exp(policy_logprobs - proximal), mx.exp(difference)


def _above(weights: mx.array, cap: float) -> mx.array:
    return (weights > cap).astype(mx.float32)
