"""The state that a prompt leaves in a model, as arrays: computed once, given to a whole group.

What a layer keeps of a prompt are its keys and values, or the last inputs of its convolution.
mlx-lm's caches carry both through a model, and the arrays in them are part of the graph, so that
a gradient flows from the completions back into the prompt.
"""

from collections.abc import Sequence
from typing import TypeAlias

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.cache import ArraysCache, ConcatenateKVCache, KVCache, make_prompt_cache

Cache: TypeAlias = ConcatenateKVCache | ArraysCache
PromptState = list[list[mx.array]]
"""For each layer its arrays, with a first axis of size 1."""


def can_share_prompt(model: nn.Module) -> bool:
    """Whether every layer keeps its state in a cache that can be given to a whole group."""
    return all(type(cache) in (KVCache, ArraysCache) for cache in make_prompt_cache(model))


def prompt_state(model: nn.Module, trunk: nn.Module, prompt: Sequence[int]) -> PromptState:
    """Run `prompt` `[T]` through the trunk of `model`; differentiable."""
    caches = empty_caches(model)
    # Evaluation is lazy: of this call only the layers' states are ever computed.
    trunk(mx.array([list(prompt)]), cache=caches)
    return [arrays_in(cache) for cache in caches]


def caches_from(model: nn.Module, state: PromptState, rows: int) -> list[Cache]:
    """Caches for `rows` completions that go on from one prompt; nothing is copied."""
    caches = empty_caches(model)
    for cache, arrays in zip(caches, state, strict=True):
        put_into(cache, [mx.broadcast_to(array, (rows, *array.shape[1:])) for array in arrays])
    return caches


def empty_caches(model: nn.Module) -> list[Cache]:
    """One for each layer; `KVCache` writes into a buffer, concatenation has a plain gradient."""
    return [
        ConcatenateKVCache() if isinstance(cache, KVCache) else cache
        for cache in make_prompt_cache(model)
    ]


def arrays_in(cache: Cache) -> list[mx.array]:
    """What a cache holds; nothing before its first use."""
    held = cache.state if isinstance(cache, ConcatenateKVCache) else cache.cache
    return [array for array in held if array is not None]


def put_into(cache: Cache, arrays: Sequence[mx.array]) -> None:
    """The reverse of `arrays_in`."""
    if isinstance(cache, ConcatenateKVCache):
        cache.state = tuple(arrays)
    else:
        cache.cache = list(arrays)
