"""Faster attention and SwiGLU against mlx-lm's own: the same numbers and the same gradients."""

import importlib
import math
import platform
from collections.abc import Callable, Iterator
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.models import activations, base
from mlx_lm.models.cache import QuantizedKVCache

from tersely.policy import cpu_functions, products
from tersely.policy.cpu_functions import scaled_dot_product_attention, swiglu, use_cpu_functions
from tersely.policy.load import Policy

PADDED = mx.array([[True] * 6 + [False] * 3, [True] * 9])[:, None, None]
"""`[B, 1, 1, T]`: of the first row three keys are padding."""
MASKS = {
    "none": None,
    "causal": "causal",
    "array": mx.arange(9)[None] <= mx.arange(5, 9)[:, None],
    "padding": PADDED,
}


def normal(*shape: int) -> mx.array:
    return mx.random.normal(shape, key=mx.random.key(sum(shape)))


def attention_inputs() -> tuple[mx.array, mx.array, mx.array]:
    """B = 2, H = 6, L = 4, D = 8; K = 2, T = 9."""
    return normal(2, 6, 4, 8) * 3, normal(2, 2, 9, 8), normal(2, 2, 9, 8)


def assert_same(
    own: Callable[..., mx.array], other: Callable[..., mx.array], *inputs: mx.array
) -> None:
    """Values, and gradients of a random projection of them."""
    weights = normal(*other(*inputs).shape)
    places = tuple(range(len(inputs)))

    def both(function: Callable[..., mx.array]) -> list[mx.array]:
        def product(*inputs: mx.array) -> mx.array:
            return (function(*inputs) * weights).sum()

        return [function(*inputs), *mx.grad(product, argnums=places)(*inputs)]

    for one, expected in zip(both(own), both(other), strict=True):
        off = np.linalg.norm(np.array(expected - one))
        assert off <= 5e-6 * np.linalg.norm(np.array(expected))


@pytest.mark.parametrize("mask", MASKS)
def test_attention(mask: str) -> None:
    """Six heads over two heads of keys, under every mask that mlx-lm makes."""

    def call(function: Any) -> Callable[..., mx.array]:
        return lambda q, k, v: function(q, k, v, cache=None, scale=0.3, mask=MASKS[mask])

    own, other = call(scaled_dot_product_attention), call(base.scaled_dot_product_attention)
    assert_same(own, other, *attention_inputs())


def test_attention_of_one_key_is_its_value() -> None:
    """Hand-worked: scores 2 * 0.5 * 1 = 1 and 0 have shares e / (e + 1) and 1 / (e + 1); behind
    a mask that leaves one key the share is 1."""
    queries, keys = mx.array([[[[2.0]]]]), mx.array([[[[1.0], [0.0]]]])
    values = mx.array([[[[10.0], [20.0]]]])

    def attended(mask: mx.array | None) -> float:
        result = scaled_dot_product_attention(queries, keys, values, None, 0.5, mask)
        return result.item()

    assert (10 * math.e + 20) / (math.e + 1) == pytest.approx(attended(None), rel=1e-6)
    assert 20.0 == attended(mx.array([[False, True]]))


def test_swiglu() -> None:
    """2 * sigmoid(2) * 3 = 6 / (1 + e^-2) = 5.284783; and far out, where e^-x is inf or 0."""
    assert 5.284783 == pytest.approx(swiglu(mx.array([2.0]), mx.array([3.0])).item(), rel=1e-6)
    assert_same(swiglu, activations.swiglu, normal(5, 7) * 4, normal(5, 7))
    far = mx.array([-200.0, -90.0, 90.0, 200.0])
    assert_same(swiglu, activations.swiglu, far, mx.ones(4))


def test_bfloat16_is_rounded_at_the_end_alone() -> None:
    """What comes out is what float32 gives for the same numbers, rounded to 8 bits."""
    narrow = [array.astype(mx.bfloat16) for array in attention_inputs()]
    wide = [array.astype(mx.float32) for array in narrow]

    def attended(inputs: list[mx.array]) -> mx.array:
        return scaled_dot_product_attention(*inputs, None, 0.3, MASKS["padding"])

    assert attended(wide).astype(mx.bfloat16).tolist() == attended(narrow).tolist()
    assert swiglu(*wide[1:]).astype(mx.bfloat16).tolist() == swiglu(*narrow[1:]).tolist()
    assert mx.bfloat16 == attended(narrow).dtype == swiglu(*narrow[1:]).dtype


def test_what_they_were_not_made_for_goes_to_the_original(monkeypatch: pytest.MonkeyPatch) -> None:
    """float16, quantized caches, additive masks."""
    queries, keys, values = attention_inputs()
    half = [array.astype(mx.float16) for array in (queries, keys, values)]
    added = mx.where(MASKS["array"], 0.0, -1e9)

    def results(function: Any) -> list[list[float]]:
        return [
            function(*half, cache=None, scale=0.3, mask=None).astype(mx.float32).tolist(),
            function(queries, keys, values, cache=None, scale=0.3, mask=added).tolist(),
        ]

    assert results(base.scaled_dot_product_attention) == results(scaled_dot_product_attention)
    one, other = half[0], half[0] + 1
    assert activations.swiglu(one, other).tolist() == swiglu(one, other).tolist()

    called = []
    monkeypatch.setattr(
        base, "scaled_dot_product_attention", lambda *_, cache, **__: called.append(cache)
    )
    cache = QuantizedKVCache()
    scaled_dot_product_attention(queries, keys, values, cache, 0.3, None)
    assert [cache] == called


@pytest.fixture
def untouched(policy: Policy) -> Iterator[Any]:
    """The module of an architecture with mlx-lm's own functions in it."""
    module = importlib.import_module(type(policy.model).__module__)
    before = dict(vars(module))
    for original, _ in cpu_functions.REPLACEMENTS:
        setattr(module, original.__name__, original)
    yield module
    for original, _ in cpu_functions.REPLACEMENTS:
        setattr(module, original.__name__, before[original.__name__])


@pytest.mark.skipif(platform.system() != "Linux", reason="elsewhere nothing is replaced")
def test_layers_call_them_and_the_model_stays_the_same(policy: Policy, untouched: Any) -> None:
    """Both architectures: replaced once, by name, and logits stay what they were."""
    tokens = mx.array([[5, 9, 301, 77, 8, 2, 64]])
    before = np.array(policy.model(tokens))

    assert ("swiglu", "scaled_dot_product_attention") == use_cpu_functions(policy.model)
    assert untouched.swiglu is swiglu
    assert () == use_cpu_functions(policy.model)

    np.testing.assert_allclose(before, np.array(policy.model(tokens)), rtol=1e-4, atol=1e-5)


def test_nothing_is_replaced_on_another_system(
    policy: Policy, untouched: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products.platform, "system", lambda: "Darwin")
    assert () == use_cpu_functions(policy.model)
    assert untouched.swiglu is activations.swiglu
