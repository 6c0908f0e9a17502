"""Which models are taken apart, and that the two parts are the model."""

from typing import Any

import mlx.core as mx
import mlx.nn as nn
import pytest
from architectures import capped, scaled, untied
from mlx.utils import tree_flatten
from mlx_lm.models import cohere, gpt2, qwen2

from tersely.policy.load import Policy
from tersely.policy.trunk import halves

TOKENS = mx.array([[5, 9, 301, 77, 8], [1, 2, 3, 4, 500]])


def multiplied() -> nn.Module:
    """Cohere multiplies its logits by 1/16."""
    return cohere.Model(
        cohere.ModelArgs(
            model_type="cohere",
            hidden_size=32,
            num_hidden_layers=1,
            intermediate_size=64,
            num_attention_heads=2,
            num_key_value_heads=1,
            vocab_size=512,
        )
    )


def of_other_names() -> nn.Module:
    """GPT-2's embedding is called `wte`."""
    return gpt2.Model(
        gpt2.ModelArgs(
            model_type="gpt2",
            n_ctx=128,
            n_embd=32,
            n_head=2,
            n_layer=1,
            n_positions=128,
            layer_norm_epsilon=1e-5,
            vocab_size=512,
        )
    )


def biased() -> nn.Module:
    """With a bias of 0, which does nothing before it is trained."""
    model = untied()
    model.lm_head = nn.Linear(32, 2048, bias=True)
    model.lm_head.bias = mx.zeros(2048)
    return model


def quantized() -> nn.Module:
    model = untied()
    nn.quantize(model, group_size=32)
    return model


def test_the_embedding_used_backwards_is_the_head(policy: Policy) -> None:
    """Hidden states times its rows are the model's logits, bit for bit."""
    model = policy.model

    found = halves(model)

    assert found is not None
    assert model.model is found.trunk
    assert model.model.embed_tokens is found.head
    product = found.trunk(TOKENS) @ found.head.weight.T
    assert mx.array_equal(model(TOKENS), product).item()


def test_a_head_of_its_own_is_the_head() -> None:
    model = untied()

    found = halves(model)

    assert found is not None
    assert model.lm_head is found.head
    assert mx.array_equal(model(TOKENS), found.trunk(TOKENS) @ found.head.weight.T).item()


def test_a_bfloat16_model_is_taken_apart(policy: Policy) -> None:
    policy.model.set_dtype(mx.bfloat16)
    assert halves(policy.model) is not None


@pytest.mark.parametrize(
    "model", [capped, multiplied, of_other_names, biased, quantized], ids=lambda each: each.__name__
)
def test_logits_that_are_more_than_one_product_are_left_whole(model: Any) -> None:
    assert halves(model()) is None


def test_a_cap_is_seen_in_bfloat16_too() -> None:
    """Logits of a few units, which a cap of 30 bends by less than one in a hundred."""
    model = capped(30.0)
    model.model.embed_tokens.weight = model.model.embed_tokens.weight * 5
    model.set_dtype(mx.bfloat16)
    assert halves(model) is None


def test_a_scale_counts_by_what_it_does_not_by_its_name() -> None:
    """Divided by 1 they are the product; by 8 they are not."""
    assert halves(scaled(1.0)) is not None
    assert halves(scaled(8.0)) is None


def test_a_vocabulary_smaller_than_the_probe() -> None:
    """Ids that a model does not know would end the process."""
    model = qwen2.Model(
        qwen2.ModelArgs(
            model_type="qwen2",
            hidden_size=16,
            num_hidden_layers=1,
            intermediate_size=16,
            num_attention_heads=1,
            num_key_value_heads=1,
            rms_norm_eps=1e-6,
            vocab_size=3,
        )
    )
    assert halves(model) is not None


def test_looking_changes_nothing(policy: Policy) -> None:
    before = dict(tree_flatten(policy.parameters()))
    halves(policy.model)
    assert all(array is before[name] for name, array in tree_flatten(policy.parameters()))
