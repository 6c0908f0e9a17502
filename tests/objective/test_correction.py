"""Corrections for old rollouts against weights worked out by hand."""

import math
from collections.abc import Callable

import mlx.core as mx
import numpy as np
import pytest

from tersely.errors import ConfigError
from tersely.objective.correction import Corrected
from tersely.objective.correction_config import (
    CorrectionConfig,
    Level,
    MisConfig,
    NoCorrection,
    TisConfig,
)

SAMPLER = [[-1.0, -2.0, -3.0, -4.0]]
PROXIMAL = [[-0.9, -2.2, -1.5, -4.0]]
"""Off by 0.1, -0.2, 1.5, 0: weights 1.105171, 0.818731, 4.481689, 1, and exp(1.4) = 4.055200 for
all four at once."""
POLICY = [[-0.6, -2.2, -1.7, -4.1]]
"""Off the proximal policy by 0.3, 0, -0.2, -0.1: ratios 1.349859, 1, 0.818731, 0.904837."""
MASK = [[1.0, 1.0, 1.0, 1.0]]
CAPPED = [[0.0, 0.0, 1.0, 0.0]]


def corrected(correction: CorrectionConfig) -> Corrected:
    return correction.build()(*map(mx.array, (POLICY, PROXIMAL, SAMPLER, MASK)))


def assert_near(expected: object, actual: mx.array) -> None:
    np.testing.assert_allclose(np.array(actual), expected, rtol=1e-5)


def test_without_a_correction_the_ratio_is_against_the_sampler() -> None:
    """0.4, -0.2, 1.3, -0.1: 1.491825, 0.818731, 3.669297, 0.904837. No weight, and no proximal
    policy to know of."""
    for proximal in (mx.array(PROXIMAL), None):
        found = NoCorrection().build()(
            mx.array(POLICY), proximal, mx.array(SAMPLER), mx.array(MASK)
        )
        assert_near([[1.491825, 0.818731, 3.669297, 0.904837]], found.ratio)
        assert_near([[1.0] * 4], found.weights)
        assert_near([[0.0] * 4], found.capped)


@pytest.mark.parametrize(
    ("correction", "weights", "capped"),
    [
        (TisConfig(), [1.105171, 0.818731, 2.0, 1.0], CAPPED),
        (TisConfig(cap=1.0), [1.0, 0.818731, 1.0, 1.0], [[1.0, 0.0, 1.0, 0.0]]),
        (TisConfig(cap=5.0), [1.105171, 0.818731, 4.481689, 1.0], [[0.0] * 4]),
        (TisConfig(level=Level.sequence), [2.0] * 4, [[1.0] * 4]),
        (TisConfig(level=Level.sequence, cap=5.0), [4.0552] * 4, [[0.0] * 4]),
        (MisConfig(level=Level.token), [1.105171, 0.818731, 0.0, 1.0], CAPPED),
        (MisConfig(level=Level.token, cap=1.0), [0.0, 0.818731, 0.0, 1.0], [[1.0, 0.0, 1.0, 0.0]]),
        (MisConfig(), [0.0] * 4, [[1.0] * 4]),
        (MisConfig(cap=5.0), [4.0552] * 4, [[0.0] * 4]),
    ],
)
def test_the_weight_is_proximal_over_sampler_up_to_its_cap(
    correction: CorrectionConfig, weights: list[float], capped: list[list[float]]
) -> None:
    """Truncated (`tis`) or masked (`mis`) above it; a weight that equals the cap stays. The ratio
    is against the proximal policy whatever the weight."""
    found = corrected(correction)

    assert_near([weights], found.weights)
    assert_near(capped, found.capped)
    assert_near([[1.349859, 1.0, 0.818731, 0.904837]], found.ratio)


DECOUPLED = pytest.mark.parametrize("config", [TisConfig, MisConfig], ids=["truncated", "masked"])
LEVELS = pytest.mark.parametrize("level", Level)


@DECOUPLED
@LEVELS
def test_weights_have_no_gradient(level: Level, config: Callable[..., CorrectionConfig]) -> None:
    """With the policy its own proximal one, ratio times weight has the slope of the ratio, 1,
    times the weight; with 4.481689 and 4.055200 below the cap."""
    correction = config(level=level, cap=5.0).build()

    def surrogate(policy: mx.array) -> mx.array:
        found = correction(policy, None, mx.array(SAMPLER), mx.array(MASK))
        return (found.ratio * found.weights).sum()

    expected = [1.105171, 0.818731, 4.481689, 1.0] if level is Level.token else [4.0552] * 4
    assert_near([expected], mx.grad(surrogate)(mx.array(PROXIMAL)))


@DECOUPLED
def test_the_only_update_on_a_batch_has_ratio_1(config: Callable[..., CorrectionConfig]) -> None:
    """And the weights of policy over sampler: 0.4, -0.2, 1.3, -0.1, the third above the cap."""
    correction = config(level=Level.token, cap=2.0).build()

    found = correction(mx.array(POLICY), None, mx.array(SAMPLER), mx.array(MASK))

    assert_near([[1.0] * 4], found.ratio)
    above = 2.0 if config is TisConfig else 0.0
    assert_near([[1.491825, 0.818731, above, 0.904837]], found.weights)


@DECOUPLED
@LEVELS
def test_padding_has_no_say_in_the_weight_of_a_completion(
    level: Level, config: Callable[..., CorrectionConfig]
) -> None:
    """Two tokens, 0.1 - 0.2 = -0.1: exp(-0.1) = 0.904837 for both, whatever stands behind them."""
    correction = config(level=level, cap=2.0).build()
    expected = [1.105171, 0.818731] if level is Level.token else [0.904837] * 2

    for off in (0.0, 1.5, -30.0):
        proximal = mx.array([[-0.9, -2.2, -3.0 + off, off]])
        found = correction(proximal, proximal, mx.array(SAMPLER), mx.array([[1.0, 1.0, 0.0, 0.0]]))
        assert_near([expected], found.weights[:, :2])
        assert_near([[0.0] * 4], found.capped)


@LEVELS
def test_rows_are_corrected_one_by_one(level: Level) -> None:
    """A second completion that is at its sampler has weight 1 beside one that is not."""
    sampler = mx.array([*SAMPLER, *PROXIMAL])
    proximal = mx.array([*PROXIMAL, *PROXIMAL])

    found = TisConfig(level=level).build()(proximal, proximal, sampler, mx.ones((2, 4)))

    assert_near([1.0] * 4, found.weights[1])
    assert_near(2.0, found.weights[0, 2])


@LEVELS
def test_a_weight_without_bound_is_bounded(level: Level) -> None:
    """exp(1e4) is infinite in float32: the cap holds it, and a mask makes it 0, not NaN."""
    sampler = mx.array([[-1e4, -2.2, -1.5, -4.0]])
    for config, expected in ((TisConfig, 2.0), (MisConfig, 0.0)):
        correction = config(level=level, cap=2.0).build()
        found = correction(mx.array(PROXIMAL), None, sampler, mx.array(MASK))
        assert expected == found.weights[0, 0].item()
        assert 1.0 == found.capped[0, 0].item()


def test_only_what_is_weighted_needs_the_policy_before_the_first_update() -> None:
    assert [False, True, True] == [c().decoupled for c in (NoCorrection, TisConfig, MisConfig)]


@pytest.mark.parametrize("cap", [0.0, -1.0, math.inf, math.nan])
@DECOUPLED
def test_a_cap_that_is_none_is_refused(config: Callable[..., CorrectionConfig], cap: float) -> None:
    with pytest.raises(ConfigError, match=f"correction.cap must be above 0 and finite, got {cap}"):
        config(cap=cap)


def test_usual_caps() -> None:
    """Two by token for truncation, three by completion for masks."""
    assert (Level.token, 2.0) == (TisConfig().level, TisConfig().cap)
    assert (Level.sequence, 3.0) == (MisConfig().level, MisConfig().cap)
