"""Weights as the Hugging Face Hub has them: what transformers and vLLM call them and lay out."""

from collections.abc import Mapping
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten


def hub_weights(
    parameters: Mapping[str, Any], config: Mapping[str, Any], dtype: mx.Dtype = mx.float32
) -> dict[str, mx.array]:
    """Name to array, all of `dtype`, from the parameter tree of a model without adapters.

    `config` is the checkpoint's. Names are those of mlx-lm, which are the Hub's for the
    architectures that are known here; LFM2's convolutions are laid out anew.
    """
    weights = {name: array.astype(dtype) for name, array in tree_flatten(parameters)}
    if config.get("model_type") == "lfm2":
        # MLX has a convolution's channels last, the Hub's layout in the middle.
        for name in weights:
            if name.endswith("conv.conv.weight"):
                weights[name] = mx.contiguous(weights[name].transpose(0, 2, 1))
    return weights
