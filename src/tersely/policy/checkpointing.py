"""Gradient checkpointing, layer by layer: keep what enters a layer, compute its inside again.

Around the whole model it would save nothing, because the inside of every layer is then needed at
once. A layer that keeps a cache returns its new state beside its output, so that nothing it
changes escapes the recomputation.

Chen et al., 2016, "Training deep nets with sublinear memory cost".
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.cache import ArraysCache, ConcatenateKVCache

from tersely.policy.prompt_state import Cache, arrays_in, put_into


@contextmanager
def checkpointed_layers(model: nn.Module) -> Iterator[None]:
    """Within it, gradients through `model.layers` are computed with checkpoints.

    Only this object is changed, not its class: another model of the same architecture may be
    sampling meanwhile.
    """
    layers = list(model.layers)
    classes = [type(layer) for layer in layers]
    subclasses = {each: _checkpointed(each) for each in classes}
    for layer, own in zip(layers, classes, strict=True):
        layer.__class__ = subclasses[own]
    try:
        yield
    finally:
        for layer, own in zip(layers, classes, strict=True):
            layer.__class__ = own


def _checkpointed(own: type[nn.Module]) -> type[nn.Module]:
    def call(
        layer: nn.Module, x: mx.array, mask: Any = None, cache: Cache | None = None
    ) -> mx.array:
        return _call_checkpointed(own.__call__, layer, x, mask, cache)

    return type(f"Checkpointed{own.__name__}", (own,), {"__call__": call})


def _call_checkpointed(
    call: Callable[..., mx.array], layer: nn.Module, x: mx.array, mask: Any, cache: Cache | None
) -> mx.array:
    def inside(
        parameters: dict[str, Any], x: mx.array, held: list[mx.array]
    ) -> tuple[mx.array, list[mx.array]]:
        layer.update(parameters)
        own_cache = _copy(cache, held)
        output = call(layer, x, mask, own_cache)
        return output, arrays_in(own_cache) if own_cache else []

    held = arrays_in(cache) if cache else []
    output, held = mx.checkpoint(inside)(layer.trainable_parameters(), x, held)
    if cache:
        put_into(cache, held)
    return output


def _copy(cache: Cache | None, held: list[mx.array]) -> Cache | None:
    """A cache like `cache` that holds `held`."""
    if cache is None:
        return None
    if isinstance(cache, ConcatenateKVCache):
        copy: Cache = ConcatenateKVCache()
    else:
        copy = ArraysCache(size=len(cache.cache))
    if held:
        put_into(copy, held)
    return copy
