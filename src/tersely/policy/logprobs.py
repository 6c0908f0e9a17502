"""Log-probabilities of completions under a policy.

`completion_logprobs` is the seam that training, the reference and tests stand on: a policy,
prompts and completions in, `[P, G, T]` log-probabilities and a mask out. The prompt of a group
goes through the model once; its state (keys and values, the state of convolution layers) is
broadcast over the group, and only completion positions reach the LM head. `plain_logprobs` is
the same quantity computed the obvious way, one full row a rollout: it serves architectures
whose caches cannot be shared, and is what tests hold the shared path against.

Left out here: chunking under a memory budget, a fused LM head, checkpointing.
"""

from collections.abc import Sequence
from typing import NamedTuple

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.cache import ArraysCache, ConcatenateKVCache, KVCache, make_prompt_cache

Tokens = Sequence[int]


class Scored(NamedTuple):
    """Log-probabilities of completions, padded to the longest one."""

    logprobs: mx.array
    """`[P, G, T]` float32, in nats; 0 where there is no token."""
    mask: mx.array
    """`[P, G, T]` float32: 1 for a sampled token (end of turn included), 0 for padding."""


def completion_logprobs(
    model: nn.Module,
    prompts: Sequence[Tokens],
    completions: Sequence[Sequence[Tokens]],
    temperature: float = 1.0,
) -> Scored:
    """Score every completion of every prompt; differentiable in the model's parameters.

    `prompts` holds P token lists of at least two tokens, `completions` P lists of G token
    lists of at least one. Logits are divided by `temperature` first, as the sampler does, so
    that the result is comparable to the sampler's log-probabilities.
    """
    longest = max(len(completion) for group in completions for completion in group)
    score = shared_prompt_logprobs if can_share_prompt(model) else plain_logprobs
    rows = [
        score(model, prompt, group, longest, temperature)
        for prompt, group in zip(prompts, completions, strict=True)
    ]
    mask = mx.stack([completion_mask(group, longest) for group in completions])
    return Scored(mx.where(mask > 0, mx.stack(rows), 0.0), mask)


def can_share_prompt(model: nn.Module) -> bool:
    """Whether every layer keeps its state in a cache that can be broadcast over a group."""
    return all(type(cache) in (KVCache, ArraysCache) for cache in make_prompt_cache(model))


def shared_prompt_logprobs(
    model: nn.Module, prompt: Tokens, group: Sequence[Tokens], length: int, temperature: float
) -> mx.array:
    """`[G, length]` log-probabilities with one pass over the prompt for the whole group.

    The prompt's last token is fed with the completions, because its output is the
    distribution of their first token.
    """
    caches = _differentiable_caches(model)
    # Evaluation is lazy: of this call only the layers' states are ever computed.
    model(mx.array([list(prompt[:-1])]), cache=caches)
    for cache in caches:
        _broadcast(cache, len(group))
    inputs = [[prompt[-1], *completion[:-1]] for completion in group]
    logits = model(_padded(inputs, length), cache=caches)
    return _gather(logits, _padded(group, length), temperature)


def plain_logprobs(
    model: nn.Module, prompt: Tokens, group: Sequence[Tokens], length: int, temperature: float
) -> mx.array:
    """`[G, length]` log-probabilities, the prompt repeated in every row.

    Rows are padded on the right, which a causal model never looks at.
    """
    start = len(prompt) - 1
    inputs = [[*prompt, *completion[:-1]] for completion in group]
    logits = model(_padded(inputs, start + length))[:, start:]
    return _gather(logits, _padded(group, length), temperature)


def completion_mask(group: Sequence[Tokens], length: int) -> mx.array:
    """`[G, length]` float32: 1 where a completion has a token."""
    lengths = mx.array([len(completion) for completion in group])
    return (mx.arange(length)[None] < lengths[:, None]).astype(mx.float32)


def _differentiable_caches(model: nn.Module) -> list[ConcatenateKVCache | ArraysCache]:
    # KVCache writes into a preallocated buffer; concatenation has a plain gradient.
    return [
        ConcatenateKVCache() if isinstance(cache, KVCache) else cache
        for cache in make_prompt_cache(model)
    ]


def _broadcast(cache: ConcatenateKVCache | ArraysCache, group_size: int) -> None:
    def repeat(state: mx.array) -> mx.array:
        return mx.broadcast_to(state, (group_size, *state.shape[1:]))

    if isinstance(cache, ConcatenateKVCache):
        cache.keys, cache.values = repeat(cache.keys), repeat(cache.values)
    else:
        cache.cache = [None if state is None else repeat(state) for state in cache.cache]


def _padded(rows: Sequence[Tokens], length: int) -> mx.array:
    return mx.array([[*row, *([0] * (length - len(row)))] for row in rows])


def _gather(logits: mx.array, targets: mx.array, temperature: float) -> mx.array:
    """Log-probabilities of `targets` `[N, T]` under `logits` `[N, T, V]`, in float32."""
    scaled = logits.astype(mx.float32) / temperature
    chosen = mx.take_along_axis(scaled, targets[..., None], axis=-1).squeeze(-1)
    return chosen - mx.logsumexp(scaled, axis=-1)
