"""bfloat16 products by way of float32: exact factors, float32 sums, one rounding."""

import platform

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

from tersely.policy import products
from tersely.policy.products import product, use_wide_products

pytestmark = pytest.mark.skipif(
    platform.system() != "Linux" or mx.default_device().type != mx.DeviceType.cpu,
    reason="elsewhere bfloat16 is multiplied as it comes",
)


def bf16(*rows: list[float]) -> mx.array:
    return mx.array(rows).astype(mx.bfloat16)


def normal(seed: int, *shape: int) -> mx.array:
    return mx.random.normal(shape, key=mx.random.key(seed)).astype(mx.bfloat16)


def as_numpy(array: mx.array) -> np.ndarray:
    return np.array(array.astype(mx.float32))


def test_a_sum_is_rounded_once() -> None:
    """256 + 1 + 1 = 258. From 256 on bfloat16 counts in twos: rounded after each addition, half
    way to even, 256 + 1 would stay 256, and the sum too."""
    result = product(bf16([256, 1, 1]), bf16([1], [1], [1]))
    assert (mx.bfloat16, [[258.0]]) == (result.dtype, result.tolist())


def test_only_bfloat16_is_widened() -> None:
    """float32 keeps what bfloat16 cannot hold, and a mixed product has the type it had."""
    exact = mx.array([[1.0, 2.0**-12]])
    ones = mx.ones((2, 1))
    assert [[1 + 2.0**-12]] == product(exact, ones).tolist()
    assert mx.float32 == product(bf16([1, 2]), ones).dtype


@pytest.mark.parametrize("bias", [False, True], ids=["plain", "bias"])
def test_a_layer_and_its_gradients(bias: bool) -> None:
    """Of three axes, against the same in float64: off by one rounding to 8 bits at most, which
    is 2^-8 of a number, and the bias's one more."""
    use_wide_products()
    layer = nn.Linear(7, 5, bias=bias)
    layer.set_dtype(mx.bfloat16)
    x, cotangent = normal(1, 2, 3, 7), normal(2, 2, 3, 5)

    def projected(layer: nn.Linear, x: mx.array) -> mx.array:
        return (layer(x) * cotangent).astype(mx.float32).sum()

    at_layer, at_x = (
        nn.value_and_grad(layer, projected)(layer, x)[1],
        mx.grad(projected, 1)(layer, x),
    )

    wide_x, wide_weight = as_numpy(x).astype(float), as_numpy(layer.weight).astype(float)
    wide_cotangent = as_numpy(cotangent).astype(float)
    expected = wide_x @ wide_weight.T + (as_numpy(layer.bias) if bias else 0)
    np.testing.assert_allclose(expected, as_numpy(layer(x)), rtol=2**-7, atol=2**-9)
    np.testing.assert_allclose(wide_cotangent @ wide_weight, as_numpy(at_x), rtol=2**-8, atol=1e-6)
    rows = wide_cotangent.reshape(-1, 5).T @ wide_x.reshape(-1, 7)
    np.testing.assert_allclose(rows, as_numpy(at_layer["weight"]), rtol=2**-8, atol=1e-6)
    assert mx.bfloat16 == at_layer["weight"].dtype == at_x.dtype == layer(x).dtype
    if bias:
        summed = wide_cotangent.reshape(-1, 5).sum(axis=0)
        np.testing.assert_allclose(summed, as_numpy(at_layer["bias"]), rtol=2**-6, atol=2**-6)


def test_an_embedding_as_the_head() -> None:
    """`x W'`, rounded as `product` rounds it: the scorer's head has to equal the sampler's."""
    use_wide_products()
    embedding = nn.Embedding(11, 7)
    embedding.set_dtype(mx.bfloat16)
    x = normal(3, 4, 7)
    assert product(x, embedding.weight.T).tolist() == embedding.as_linear(x).tolist()


def test_layers_of_float32_are_as_they_were() -> None:
    use_wide_products()
    layer = nn.Linear(7, 5)
    x = mx.random.normal((3, 7))
    narrow = nn.Linear.__call__.narrow  # type: ignore[attr-defined]
    assert narrow(layer, x).tolist() == layer(x).tolist()


def test_elsewhere_they_multiply_as_they_did(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a Mac or a GPU, though the layers were replaced before."""
    use_wide_products()
    monkeypatch.setattr(products.platform, "system", lambda: "Darwin")
    layer = nn.Linear(200, 5, bias=False)
    layer.set_dtype(mx.bfloat16)
    x = normal(4, 3, 200)
    narrow = nn.Linear.__call__.narrow  # type: ignore[attr-defined]
    assert narrow(layer, x).tolist() == layer(x).tolist()
    assert (x @ layer.weight.T).tolist() == product(x, layer.weight.T).tolist()
