"""The LM head as one function: projection, logsumexp and gather, with a gradient of its own.

The logits of all tokens over a vocabulary of 150,000 are the largest array of an update, several
times over: themselves, their softmax, its gradient. None of them is needed whole. The forward
pass works through the vocabulary in blocks and keeps only each token's logsumexp; the backward
pass makes each block's logits again.

The gradient of `logprob = h W[y] - logsumexp(h W')` with a cotangent `c` a token is
`dh = -c (p - y) W` and `dW = -(p - y)' (c h)`, with `p` the softmax and `y` as one-hot rows.
Blocks of the vocabulary, not of the tokens, because a block's `dW` is then complete and nothing
of the size of `W` has to be added up.

Exponentials are taken to base 2, with log2(e) multiplied into `h`: on a CPU MLX computes `power`
2.5 times as fast as `exp`, and elsewhere they cost the same few operations.
"""

import math
from typing import Any, NamedTuple

import mlx.core as mx

from tersely.policy.products import product

BLOCK_BYTES = 4 << 20
"""Size of a block's float32 logits. Small, because MLX prepares some dozen blocks ahead."""

LOG2_E = math.log2(math.e)


class TokenScores(NamedTuple):
    """What the LM head says of tokens; both `[N]` float32, in nats."""

    logprobs: mx.array
    entropy: mx.array | None
    """Of the distribution that each token was drawn from, where it was asked for; a number to
    look at, through which no gradient flows."""


def token_scores(
    hidden: mx.array,
    weight: mx.array,
    targets: mx.array,
    *,
    temperature: float = 1.0,
    entropy: bool = False,
    block: int | None = None,
    trained: bool = True,
) -> TokenScores:
    """Log-probabilities of `targets` `[N]` under `softmax(hidden weight' / temperature)`.

    `hidden` is `[N, D]`, `weight` `[V, D]`; differentiable in both. `block` is how many rows of
    the vocabulary are in memory at once; by default as many as fit `BLOCK_BYTES`. Where the
    weight is not `trained`, its gradient is 0 and costs nothing.
    """
    tokens, vocabulary = hidden.shape[0], weight.shape[0]
    if block is None:
        block = max(256, BLOCK_BYTES // (4 * max(tokens, 1)))
    blocks = [slice(at, min(at + block, vocabulary)) for at in range(0, vocabulary, block)]

    @mx.custom_function
    def score(hidden: mx.array, weight: mx.array) -> tuple[mx.array, mx.array, mx.array]:
        return _forward(hidden, weight, targets, blocks, 1 / temperature, entropy)

    @score.vjp
    def score_vjp(
        primals: tuple[mx.array, mx.array],
        cotangents: tuple[mx.array, mx.array, mx.array],
        outputs: tuple[mx.array, mx.array, mx.array],
    ) -> tuple[mx.array, mx.array]:
        cotangent, logsumexp = cotangents[0], outputs[1]
        scale = 1 / temperature
        return _backward(*primals, targets, cotangent, logsumexp, blocks, scale, trained)

    scores: Any = score(hidden, weight)
    logprobs, _, entropies = scores
    return TokenScores(logprobs, mx.stop_gradient(entropies) if entropy else None)


def _forward(
    hidden: mx.array,
    weight: mx.array,
    targets: mx.array,
    blocks: list[slice],
    scale: float,
    entropy: bool,
) -> tuple[mx.array, mx.array, mx.array]:
    """Log-probabilities, logsumexp to base 2, and entropies (0 unless asked for); `[N]` each."""
    left, factor = _to_base_2(hidden, scale)
    tops, sums, moments = [], [], []
    ready = left
    for rows in blocks:
        logits = _logits(ready, weight[rows], factor)
        top = logits.max(axis=-1)
        above = logits - top[:, None]
        powers = mx.power(2.0, above)
        tops.append(top)
        sums.append(powers.sum(axis=-1))
        if entropy:
            moments.append((powers * above).sum(axis=-1))
        # Without this all blocks are made first and stand in memory together.
        ready = mx.depends(left, [sums[-1], *moments[-1:]])
    top = mx.stack(tops).max(axis=0)
    share = mx.power(2.0, mx.stack(tops) - top)
    total = (mx.stack(sums) * share).sum(axis=0)
    logsumexp = top + mx.log2(total)
    # A product like those of the blocks: in bfloat16 it is rounded as the sampler's was.
    chosen = product(hidden[:, None], weight[targets][..., None]).astype(mx.float32).reshape(-1)
    entropies = mx.zeros_like(logsumexp)
    if entropy:
        # H = logsumexp - E[logit]; a block's mean logit is taken above its own top.
        expected = (share * (mx.stack(moments) + mx.stack(sums) * mx.stack(tops))).sum(axis=0)
        entropies = (logsumexp - expected / total) / LOG2_E
    return chosen * scale - logsumexp / LOG2_E, logsumexp, entropies


def _backward(
    hidden: mx.array,
    weight: mx.array,
    targets: mx.array,
    cotangent: mx.array,
    logsumexp: mx.array,
    blocks: list[slice],
    scale: float,
    trained: bool,
) -> tuple[mx.array, mx.array]:
    """Gradients of the log-probabilities, `[N, D]` and `[V, D]`, in the types of the inputs."""
    left, factor = _to_base_2(hidden, scale)
    cotangent = cotangent[:, None] * scale
    weighted = (hidden * cotangent).astype(weight.dtype)
    mean_row = mx.zeros(hidden.shape, mx.float32)
    weight_gradient = mx.zeros_like(weight)
    ready = left
    for rows in blocks:
        logits = _logits(ready, weight[rows], factor)
        share = mx.power(2.0, logits - logsumexp[:, None])
        share = _less_targets(share, targets, rows).astype(weight.dtype)
        mean_row = mean_row + product(share, weight[rows])
        done = [mean_row]
        if trained:
            gradient = -product(share.T, weighted)
            weight_gradient[rows] = gradient
            done.append(gradient)
        ready = mx.depends(left, done)
    return (-cotangent * mean_row).astype(hidden.dtype), weight_gradient


def _less_targets(share: mx.array, targets: mx.array, rows: slice) -> mx.array:
    """`p - y` of a block: 1 less where a token's target is in it."""
    inside = (targets >= rows.start) & (targets < rows.stop)
    places = mx.clip(targets - rows.start, 0, rows.stop - rows.start - 1)
    ones = inside.astype(mx.float32)
    return share.at[mx.arange(share.shape[0]), places].add(-ones)


def _to_base_2(hidden: mx.array, scale: float) -> tuple[mx.array, float]:
    """What is multiplied with the weight, and by what the product is multiplied afterwards.

    It is cheaper to scale N x D hidden states than N x V logits, but bfloat16 would round them.
    """
    if hidden.dtype == mx.float32:
        return hidden * (scale * LOG2_E), 1.0
    return hidden, scale * LOG2_E


def _logits(left: mx.array, rows: mx.array, factor: float) -> mx.array:
    """`[N, rows]` to base 2 in float32, whatever the product was computed in."""
    logits = product(left, rows.T).astype(mx.float32)
    return logits if factor == 1.0 else logits * factor
