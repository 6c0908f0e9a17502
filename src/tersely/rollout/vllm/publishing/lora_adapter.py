"""Low-rank adapters apart from the weights beside them: as PEFT files, or added to the weights.

All functions take parameters by their dotted names, as `mlx.utils.tree_flatten` gives them.
"""

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import mlx.core as mx

from tersely.errors import RolloutError
from tersely.rollout.vllm.publishing.shards import write_safetensors

Parameters = Mapping[str, mx.array]

WEIGHTS_FILE, CONFIG_FILE = "adapter_model.safetensors", "adapter_config.json"


class Adapter(NamedTuple):
    """What one linear layer has learned: `y = W x + scale B A x`."""

    a: mx.array
    """`[in, rank]`: A transposed, as mlx-lm keeps it."""
    b: mx.array
    """`[rank, out]`: B transposed."""


def adapters_of(parameters: Parameters) -> dict[str, Adapter]:
    """The adapters by the names of their layers; empty where there are none.

    Raises `RolloutError` for a layer of experts.
    """
    names = [name.removesuffix(".lora_a") for name in parameters if name.endswith(".lora_a")]
    adapters = {n: Adapter(parameters[f"{n}.lora_a"], parameters[f"{n}.lora_b"]) for n in names}
    for name, adapter in adapters.items():
        if adapter.a.ndim != 2:
            raise RolloutError(
                f"the adapter of {name} belongs to a layer of experts, which vLLM workers cannot "
                "be given; set rollout=local, or tuning=full"
            )
    return adapters


def base_of(parameters: Parameters) -> dict[str, mx.array]:
    """The weights beside the adapters, by the names that a model without adapters has."""
    adapters = adapters_of(parameters)
    base = {}
    for name, array in parameters.items():
        layer, _, leaf = name.rpartition(".")
        if layer in adapters:
            continue  # lora_a and lora_b
        if layer.endswith(".linear") and layer.removesuffix(".linear") in adapters:
            name = f"{layer.removesuffix('.linear')}.{leaf}"
        base[name] = array
    return base


def merged(parameters: Parameters, scale: float) -> dict[str, mx.array]:
    """`W + scale B A` in place of every `W` that has an adapter, in float32.

    Hu et al., 2021, "LoRA: Low-rank adaptation of large language models", section 4.1, with
    mlx-lm's `scale` in place of alpha / rank. In float32 because most of what was learned is
    rounded away beside a bfloat16 weight.
    """
    weights = base_of(parameters)
    for name, adapter in adapters_of(parameters).items():
        learned = (adapter.a.astype(mx.float32) @ adapter.b.astype(mx.float32)).T
        weights[f"{name}.weight"] = weights[f"{name}.weight"].astype(mx.float32) + scale * learned
    return weights


def write_adapter(parameters: Parameters, scale: float, folder: Path) -> dict[str, str]:
    """Write the adapters to `folder` as PEFT has them; file name to SHA-256 in hex.

    PEFT's `lora_alpha` is `scale` times the rank.
    """
    adapters = adapters_of(parameters)
    rank = next(iter(adapters.values())).a.shape[1]
    weights = {}
    for name, adapter in adapters.items():
        weights[f"base_model.model.{name}.lora_A.weight"] = adapter.a.T.astype(mx.float32)
        weights[f"base_model.model.{name}.lora_B.weight"] = adapter.b.T.astype(mx.float32)
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "",
        "r": rank,
        "lora_alpha": scale * rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": sorted({name.rpartition(".")[2] for name in adapters}),
    }
    text = json.dumps(config, indent=2).encode()
    (folder / CONFIG_FILE).write_bytes(text)
    return {
        CONFIG_FILE: sha256(text).hexdigest(),
        WEIGHTS_FILE: write_safetensors(weights, folder / WEIGHTS_FILE),
    }
