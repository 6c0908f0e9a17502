"""Products in bfloat16 on a Linux CPU, by way of float32.

MLX's own product of two bfloat16 matrices does 6 GFLOP/s there, BLAS does 30 times as much in
float32, and a bfloat16 becomes a float32 by appending zeros. So the factors are widened, the
products summed in float32, as a GPU does, and the sum is rounded once (a bias is added to that,
and rounded once more). What the backward pass needs is kept in bfloat16.
"""

import platform
from collections.abc import Callable
from typing import Any

import mlx.core as mx
import mlx.nn as nn


def on_linux_cpu() -> bool:
    """Whether MLX computes where its own functions are slow."""
    return platform.system() == "Linux" and mx.default_device().type == mx.DeviceType.cpu


def product(left: mx.array, right: mx.array) -> mx.array:
    """`left @ right`, by way of float32 where both are bfloat16 and this is a Linux CPU."""
    if not (left.dtype == right.dtype == mx.bfloat16 and on_linux_cpu()):
        return left @ right
    return _rounded(_wide(left) @ _wide(right))


@mx.custom_function
def _linear(x: mx.array, weight: mx.array) -> mx.array:
    return _rounded(_wide(x) @ _wide(weight).T)


@_linear.vjp
def _linear_vjp(
    primals: tuple[mx.array, mx.array], cotangent: mx.array, output: mx.array
) -> tuple[mx.array, mx.array]:
    x, weight = primals
    wide = _wide(cotangent)
    rows = wide.reshape(-1, wide.shape[-1])
    at_weight = rows.T @ _wide(x).reshape(-1, x.shape[-1])
    return _rounded(wide @ _wide(weight)), _rounded(at_weight)


def _wide(array: mx.array) -> mx.array:
    return array.astype(mx.float32)


def _rounded(array: mx.array) -> mx.array:
    return array.astype(mx.bfloat16)


def use_wide_products() -> None:
    """Let linear layers, and embeddings in an LM head's place, of bfloat16 multiply by way of
    float32; for the whole process, because sampler, policy and reference have to compute alike.
    Those of another type multiply as before."""
    if not hasattr(nn.Linear.__call__, "narrow"):
        setattr(nn.Linear, "__call__", _layer(nn.Linear.__call__))  # noqa: B010
        setattr(nn.Embedding, "as_linear", _layer(nn.Embedding.as_linear))  # noqa: B010


def _layer(narrow: Callable[[Any, mx.array], mx.array]) -> Callable[[Any, mx.array], mx.array]:
    def call(self: Any, x: mx.array) -> mx.array:
        if not (x.dtype == self.weight.dtype == mx.bfloat16 and on_linux_cpu()):
            return narrow(self, x)
        own: Any = _linear(x, self.weight)
        result: mx.array = own + self.bias if "bias" in self else own
        return result

    call.narrow = narrow  # type: ignore[attr-defined]
    return call
