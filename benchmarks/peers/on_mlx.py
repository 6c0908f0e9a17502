"""Measuring a peer that computes on MLX."""

import ctypes
import os
from collections.abc import Callable
from typing import Any

from peers.measured import Order, report, timed


def load_openblas() -> None:
    """Let OpenBLAS answer the float32 products of MLX; call it before MLX is imported.

    Every MLX peer gets it, as this project does by itself: on the reference BLAS of the Linux
    wheel the comparison would be one of BLAS libraries.
    """
    library = ctypes.CDLL("libopenblas.so.0", mode=ctypes.RTLD_GLOBAL)
    library.openblas_set_num_threads(len(os.sched_getaffinity(0)))


def load_model(order: Order) -> Any:
    """The checkpoint through mlx-lm, which all MLX peers stand on, computed to the end."""
    import mlx.core as mx
    from mlx_lm.utils import load_model as load

    model, _ = load(order.checkpoint)
    model.train()
    mx.eval(model.parameters())
    return model


def measure(
    order: Order,
    model: Any,
    update: Callable[[], tuple[Any, Any]],
    computes: dict[str, str],
    packages: list[str],
) -> None:
    """Run `update`, which returns a loss and a gradient, save the gradient and print the line.

    Working memory is the allocator's peak above the weights and one gradient.
    """
    import mlx.core as mx
    from mlx.utils import tree_flatten

    def evaluated() -> tuple[Any, Any]:
        result = update()
        mx.eval(result)
        return result

    weights = sum(array.nbytes for _, array in tree_flatten(model.parameters()))
    mx.reset_peak_memory()
    clock = timed(evaluated, order.repeats)
    peak = mx.get_peak_memory()
    loss, gradient = clock.last
    flat = dict(tree_flatten(gradient))
    working = peak - weights - sum(array.nbytes for array in flat.values())
    mx.save_safetensors(str(order.gradient), flat)
    report(clock, loss.item(), working, computes, ["mlx", "mlx-lm", *packages])
