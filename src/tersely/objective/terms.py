"""The pieces that losses are built from. All arrays are float32, `[R, T]` unless said."""

import mlx.core as mx


def clipped_surrogate(
    ratio: mx.array, advantages: mx.array, clip_low: float, clip_high: float
) -> mx.array:
    """`-min(r A, clip(r, 1 - clip_low, 1 + clip_high) A)`, token by token.

    Schulman et al., 2017, "Proximal policy optimization algorithms", eq. 7. `advantages` is
    broadcast against `ratio`, `[R, 1]` for one advantage a completion.
    """
    clipped = mx.clip(ratio, 1 - clip_low, 1 + clip_high)
    return -mx.minimum(ratio * advantages, clipped * advantages)


def was_clipped(
    ratio: mx.array, advantages: mx.array, clip_low: float, clip_high: float
) -> mx.array:
    """1 where the clip holds a token back (its gradient is 0), else 0."""
    too_high = (ratio > 1 + clip_high) & (advantages > 0)
    too_low = (ratio < 1 - clip_low) & (advantages < 0)
    return (too_high | too_low).astype(mx.float32)


def k3(logprobs: mx.array, other_logprobs: mx.array) -> mx.array:
    """`exp(d) - d - 1` with `d = other - own`: an unbiased, never negative estimate of
    KL(own || other) from tokens drawn from `own`.

    Schulman, 2020, "Approximating KL divergence".
    """
    difference = other_logprobs - logprobs
    return mx.exp(difference) - difference - 1


def completion_mean(values: mx.array, mask: mx.array) -> mx.array:
    """`[R]`: the mean over the tokens of each completion; 0 for one without any."""
    return (values * mask).sum(axis=1) / mx.maximum(mask.sum(axis=1), 1)
