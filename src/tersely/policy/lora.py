"""Low-rank adapters, which are mlx-lm's own layers: put in, taken out, or merged into the weights.

What is beside an adapter is the layer that was there before, the same object over the same
array. So a model without adapters is had by taking them out of a second model, at no cost.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_unflatten
from mlx_lm.tuner.utils import linear_to_lora_layers


def attach(model: nn.Module, seed: int, *, rank: int, scale: float, layers: int) -> None:
    """Freeze `model` and put an adapter beside each linear layer of its last `layers` layers.

    The same seed draws the same adapters, bit for bit. Raises `ValueError` where there are
    adapters already.
    """
    if _adapters(model):
        raise ValueError("this model has adapters already; merge them before attaching others")
    model.freeze()
    with _drawn_from(seed):
        linear_to_lora_layers(model, layers, {"rank": rank, "scale": scale, "dropout": 0.0})
    # Not the rest: a twin's own weights are never read, others take their place.
    mx.eval(model.trainable_parameters())


def detach(model: nn.Module) -> None:
    """Take the adapters out, what they have learned with them."""
    _replace(model, [(name, _base(adapter)) for name, adapter in _adapters(model)])


def merge(model: nn.Module) -> None:
    """Add what each adapter has learned to the weight beside it: `W + scale B A`.

    In float32, which the model then is: beside a bfloat16 weight most of it would be rounded away.
    """
    adapters = _adapters(model)
    if adapters:
        model.set_dtype(mx.float32)
    _replace(model, [(name, adapter.fuse()) for name, adapter in adapters])


def _adapters(model: nn.Module) -> list[tuple[str, nn.Module]]:
    return [(name, module) for name, module in model.named_modules() if "lora_a" in module]


def _base(adapter: nn.Module) -> nn.Module:
    return adapter.linear if "linear" in adapter else adapter.embedding


def _replace(model: nn.Module, modules: list[tuple[str, nn.Module]]) -> None:
    """Put plain layers in place of adapted ones; everything can be trained again."""
    if modules:
        model.update_modules(tree_unflatten(modules))
        model.unfreeze()
        mx.eval(model.parameters())


@contextmanager
def _drawn_from(seed: int) -> Iterator[None]:
    """Within it, MLX's global generator draws from `seed`; afterwards it goes on as before.

    mlx-lm's layers draw from nothing else.
    """
    # The generator's key is its seed, in two halves.
    state: Any = mx.random.state
    high, low = state[0].tolist()
    mx.random.seed(seed)
    try:
        yield
    finally:
        mx.random.seed(high << 32 | low)
