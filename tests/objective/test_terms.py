"""The pieces of losses, worked by hand."""

import math

import mlx.core as mx
import numpy as np
import pytest

from tersely.objective.terms import clipped_surrogate, completion_mean, k3, was_clipped


def test_clipped_surrogate_takes_the_worse_of_both() -> None:
    """clip(r) is in [0.8, 1.2]; the loss is -min(r A, clip(r) A).

    A = 1:  r = 0.5: -min(0.5, 0.8) = -0.5; 0.9: -0.9; 1.1: -1.1; 1.5: -min(1.5, 1.2) = -1.2.
    A = -2: r = 0.5: -min(-1, -1.6) = 1.6; 0.9: 1.8; 1.1: 2.2; 1.5: -min(-3, -2.4) = 3.
    A = 0:  0 everywhere.
    """
    ratio = mx.array([[0.5, 0.9, 1.1, 1.5]] * 3)
    advantages = mx.array([[1.0], [-2.0], [0.0]])
    expected = [[-0.5, -0.9, -1.1, -1.2], [1.6, 1.8, 2.2, 3.0], [0, 0, 0, 0]]

    np.testing.assert_allclose(
        np.array(clipped_surrogate(ratio, advantages, 0.2, 0.2)), expected, rtol=1e-6
    )


def test_the_two_sides_of_the_clip_are_set_apart() -> None:
    """With 0.1 below and 0.4 above: A = 1, r = 1.5 gives -1.4; A = -1, r = 0.5 gives 0.9."""
    loss = clipped_surrogate(mx.array([[1.5], [0.5]]), mx.array([[1.0], [-1.0]]), 0.1, 0.4)
    np.testing.assert_allclose(np.array(loss), [[-1.4], [0.9]], rtol=1e-6)


def test_a_token_counts_as_clipped_exactly_where_its_gradient_is_0() -> None:
    """Ratios outside the clip whose advantage pulls them back in are not held."""
    ratios = [0.5, 0.79, 0.81, 1.0, 1.19, 1.21, 1.5]
    for advantage in (1.0, -1.0):
        ratio, advantages = mx.array([ratios]), mx.array([[advantage]])

        gradient = mx.grad(lambda r, a=advantages: clipped_surrogate(r, a, 0.2, 0.2).sum())(ratio)

        held = was_clipped(ratio, advantages, 0.2, 0.2)
        assert (gradient == 0).tolist() == (held == 1).tolist()
        assert 2 == held.sum().item()
    assert not was_clipped(mx.array([ratios]), mx.array([[0.0]]), 0.2, 0.2).any().item()


@pytest.mark.parametrize(
    ("own", "other", "expected"),
    [
        (-1.0, -1.3, 0.040818),  # d = -0.3: exp(-0.3) + 0.3 - 1 = 0.740818 - 0.7
        (-1.0, -0.8, 0.021403),  # d = 0.2: exp(0.2) - 0.2 - 1 = 1.221403 - 1.2
        (-2.0, -2.0, 0.0),
    ],
)
def test_k3_of_one_token(own: float, other: float, expected: float) -> None:
    assert expected == pytest.approx(k3(mx.array(own), mx.array(other)).item(), abs=1e-6)


def test_k3_is_an_unbiased_estimate_of_the_divergence() -> None:
    """p = (0.2, 0.3, 0.5), q = (0.6, 0.3, 0.1): KL(p || q) = sum p log(p / q), and the mean of
    k3 over tokens drawn from p, weighted by p, is exactly that."""
    p, q = [0.2, 0.3, 0.5], [0.6, 0.3, 0.1]
    divergence = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))

    estimates = k3(mx.log(mx.array(p)), mx.log(mx.array(q)))

    assert divergence == pytest.approx((mx.array(p) * estimates).sum().item(), rel=1e-5)
    assert (estimates >= 0).all().item()


def test_the_mean_of_a_completion_is_over_its_own_tokens() -> None:
    """(-1 - 2) / 2 and (-1 - 1 - 4) / 3, whatever stands in the padding; 0 where there is none."""
    values = mx.array([[-1.0, -2.0, 7.0], [-1.0, -1.0, -4.0], [9.0, 9.0, 9.0]])
    mask = mx.array([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    assert [-1.5, -2.0, 0.0] == completion_mean(values, mask).tolist()
