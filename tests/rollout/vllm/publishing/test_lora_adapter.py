"""Adapters apart from their weights, on a layer with numbers that can be followed."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten, tree_map_with_path

from tersely.errors import RolloutError
from tersely.policy.load import load_policy
from tersely.policy.tuning import LoraConfig
from tersely.rollout.vllm.publishing.lora_adapter import base_of, merged, write_adapter

LAYER = {
    "layers.0.q_proj.linear.weight": mx.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]),
    "layers.0.q_proj.linear.bias": mx.array([5.0, 6.0, 7.0]),
    "layers.0.q_proj.lora_a": mx.array([[1.0], [2.0]]),
    "layers.0.q_proj.lora_b": mx.array([[3.0, 0.0, -1.0]]),
    "layers.0.norm.weight": mx.array([9.0, 9.0]),
}
"""A layer of 2 inputs and 3 outputs with an adapter of rank 1, and a norm without."""


def test_the_weights_beside_the_adapters_have_the_names_of_a_model_without() -> None:
    base = base_of(LAYER)

    names = {"layers.0.q_proj.weight", "layers.0.q_proj.bias", "layers.0.norm.weight"}
    assert names == set(base)
    assert mx.array_equal(LAYER["layers.0.q_proj.linear.weight"], base["layers.0.q_proj.weight"])


def test_merged_adds_scale_b_a() -> None:
    """B = (3, 0, -1) as a column, A = (1, 2) as a row: B A = [[3, 6], [0, 0], [-1, -2]], and with
    scale 2 the weight becomes [[1 + 6, 12], [0, 1], [-2, -4]]."""
    weight = merged(LAYER, scale=2.0)["layers.0.q_proj.weight"]

    assert [[7.0, 12.0], [0.0, 1.0], [-2.0, -4.0]] == weight.tolist()


def test_merged_is_what_the_policy_itself_merges(checkpoint: Callable[[str], Path]) -> None:
    """`Policy.merged_parameters` takes mlx-lm's own fusing."""
    policy = load_policy(checkpoint("lfm2"))
    policy.attach(LoraConfig(rank=4, scale=3.0), seed=1)
    policy.model.update(
        tree_map_with_path(
            lambda name, array: mx.ones_like(array) / 10 if name.endswith("lora_b") else array,
            policy.model.parameters(),
        )
    )
    expected = dict(tree_flatten(policy.merged_parameters()))
    actual = merged(dict(tree_flatten(policy.parameters())), scale=3.0)

    assert set(expected) == set(actual)
    assert all(mx.allclose(expected[name], actual[name], atol=1e-6) for name in expected)


def test_small_steps_are_not_rounded_away_beside_bfloat16() -> None:
    """1 + 2 * 0.001 * 3 = 1.006 lies between the bfloat16 numbers 1.0 and 1.0078125."""
    stored = {name: array.astype(mx.bfloat16) for name, array in LAYER.items()}
    stored["layers.0.q_proj.lora_a"] = mx.array([[0.001], [0.0]])
    weight = merged(stored, scale=2.0)["layers.0.q_proj.weight"]

    assert 1.006 == pytest.approx(weight[0, 0].item(), abs=1e-6)


def test_a_peft_adapter(tmp_path: Path) -> None:
    """PEFT has A as `[rank, in]` and B as `[out, rank]`, and scales by lora_alpha / r = 2 / 1."""
    checksums = write_adapter(LAYER, 2.0, tmp_path)

    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert ("LORA", 1, 2.0) == (config["peft_type"], config["r"], config["lora_alpha"])
    assert ["q_proj"] == config["target_modules"]
    weights = mx.load(str(tmp_path / "adapter_model.safetensors"))
    prefix = "base_model.model.layers.0.q_proj"
    assert {f"{prefix}.lora_A.weight", f"{prefix}.lora_B.weight"} == set(weights)
    assert [[1.0, 2.0]] == weights[f"{prefix}.lora_A.weight"].tolist()
    assert [[3.0], [0.0], [-1.0]] == weights[f"{prefix}.lora_B.weight"].tolist()
    assert {"adapter_config.json", "adapter_model.safetensors"} == set(checksums)
    for name, checksum in checksums.items():
        assert checksum == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()


def test_adapters_of_experts_are_refused_by_name() -> None:
    experts = {"mlp.up.lora_a": mx.zeros((4, 1, 2)), "mlp.up.lora_b": mx.zeros((4, 3, 1))}
    with pytest.raises(RolloutError, match=r"mlp\.up"):
        merged(experts, scale=1.0)
