"""Rounding by chance, and weights that keep what an update did to them."""

import math
from collections.abc import Callable, Sequence

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx import optimizers
from mlx.utils import tree_flatten, tree_map

from tersely.policy.load import Policy
from tersely.training.config import Precision, TrainerConfig
from tersely.training.precision import Weights, cast, precision_of, stochastic_bf16

Values = Sequence[float] | mx.array
EVERY = pytest.mark.parametrize("precision", Precision)
RATE = 2e-6
"""The study's learning rate."""


class Vectors(nn.Module):
    """Some arrays of weights."""

    def __init__(self, *arrays: Values) -> None:
        super().__init__()
        self.vectors = [mx.array(array) for array in arrays]


def gradient(*arrays: Values) -> dict[str, list[mx.array]]:
    return {"vectors": [mx.array(array) for array in arrays]}


def adamw(weight_decay: float = 0.0) -> optimizers.Optimizer:
    return optimizers.AdamW(RATE, weight_decay=weight_decay, bias_correction=True)


def normal(count: int, deviation: float = 0.02) -> mx.array:
    return mx.random.normal((count,), scale=deviation, key=mx.random.key(3))


def float64(array: mx.array) -> np.ndarray:
    return np.array(array.astype(mx.float32)).astype(np.float64)


def of(weights: Weights) -> np.ndarray:
    """What the model stores, in one vector."""
    return np.concatenate([float64(array) for array in weights.model.vectors])


def same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(tree_flatten(one.parameters()), tree_flatten(other.parameters()), strict=True)
    return all(mx.array_equal(a, b).item() for (_, a), (_, b) in pairs)


@pytest.mark.parametrize(
    ("value", "near", "far", "share"),
    [
        # Neighbours of 1 are 2^-7 apart: 2^-9 is a quarter of the way.
        (1 + 2**-9, 1.0, 1 + 2**-7, 0.25),
        (1 + 3 * 2**-9, 1.0, 1 + 2**-7, 0.75),
        (-1 - 2**-9, -1.0, -1 - 2**-7, 0.25),
        # Into the next power of two.
        (2 - 2**-8, 2 - 2**-7, 2.0, 0.5),
        # 0.02 = 163.84 * 2^-13, between 163 and 164 of them.
        (0.02, 163 * 2**-13, 164 * 2**-13, 0.84),
        # Subnormal: those of bfloat16 are multiples of 2^-133.
        (2.0**-134, 0.0, 2.0**-133, 0.5),
        (-(2.0**-135), 0.0, -(2.0**-133), 0.25),
        # The largest bfloat16 is (2 - 2^-7) * 2^127, and the one below it has 2 - 2^-6.
        ((2 - 1.5 * 2**-7) * 2.0**127, (2 - 2**-6) * 2.0**127, (2 - 2**-7) * 2.0**127, 0.5),
    ],
)
def test_a_value_goes_to_the_farther_neighbour_as_often_as_it_lies_towards_it(
    value: float, near: float, far: float, share: float
) -> None:
    """10,000 draws are binomial: at 1/4 their standard deviation is sqrt(10,000 * 3/16) = 43, and
    five of them are allowed."""
    draws = 10_000

    rounded = float64(stochastic_bf16(mx.full((draws,), value), mx.random.key(1)))

    assert {near, far} == set(rounded.tolist())
    bound = 5 * math.sqrt(draws * share * (1 - share))
    assert draws * share == pytest.approx((rounded == far).sum(), abs=bound)


def test_the_errors_of_many_values_cancel() -> None:
    """Each of 100,000 lies the fraction f of a gap g above a bfloat16, so its error has the
    variance f (1 - f) g^2; five standard deviations of the sum are allowed."""
    values = normal(100_000) + 0.05
    exact, rounded = float64(values), float64(stochastic_bf16(values, mx.random.key(2)))
    _, exponent = np.frexp(np.abs(exact))
    gap = 2.0 ** (exponent - 8)
    fraction = np.abs(exact) / gap % 1

    deviation = math.sqrt((fraction * (1 - fraction) * gap**2).sum())

    assert (np.abs(rounded - exact) < gap).all()
    assert 0 == pytest.approx((rounded - exact).sum(), abs=5 * deviation)
    # Rounding to nearest would come through as well, but its squares are half as large.
    assert deviation**2 == pytest.approx(((rounded - exact) ** 2).sum(), rel=0.05)


def test_what_bfloat16_can_hold_stays() -> None:
    """All 65,536 of them, both infinities and every NaN included."""
    every = mx.arange(1 << 16).astype(mx.uint16).view(mx.bfloat16)

    rounded = stochastic_bf16(every.astype(mx.float32), mx.random.key(4))

    nan = np.array(mx.isnan(every))
    bits, actual = (np.array(array.view(mx.uint16)) for array in (every, rounded))
    assert 2 * (2**7 - 1) == nan.sum()
    np.testing.assert_array_equal(bits[~nan], actual[~nan])
    np.testing.assert_array_equal(nan, np.array(mx.isnan(rounded)))


def test_beyond_the_largest_is_that_or_infinity_and_no_number_stays_none() -> None:
    """The largest float32 is almost a whole gap above the largest bfloat16. A NaN of all ones,
    which some machines make, must not carry over into -0."""
    largest = np.finfo(np.float32).max.item()
    nan = mx.array([0x7FFFFFFF, 0xFFFFFFFF, 0x7F800001], mx.uint32).view(mx.float32)

    rounded = float64(stochastic_bf16(mx.array([largest, -largest] * 500), mx.random.key(5)))

    assert {(2 - 2**-7) * 2.0**127, math.inf} >= set(np.abs(rounded).tolist())
    assert (np.sign(rounded) == [1, -1] * 500).all()
    assert mx.isnan(stochastic_bf16(nan, mx.random.key(5))).all().item()


def test_below_adapters_nothing_is_rounded_away() -> None:
    """Masters are of what is trained. What a stage before has left in the other weights, as 0.02,
    which is 163.84 * 2^-13, is kept by chance: 84 % of 10,000 go up, five deviations allowed."""
    model = nn.Module()
    model.base, model.adapter = Vectors([0.02] * 10_000), Vectors([0.02] * 10_000)
    model.base.freeze()

    cast(model, Precision.bf16_master, mx.random.key(8))

    (base,), (adapter,) = model.base.vectors, model.adapter.vectors
    assert 8_400 == pytest.approx(int(mx.sum(base == 164 * 2**-13).item()), abs=184)
    assert mx.all(adapter == 164 * 2**-13).item()
    assert mx.bfloat16 == base.dtype == adapter.dtype


@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 5), (2, 0, 3)])
def test_any_shape(shape: tuple[int, ...]) -> None:
    rounded = stochastic_bf16(mx.full(shape, 1 + 2**-8), mx.random.key(6))

    assert (shape, mx.bfloat16) == (rounded.shape, rounded.dtype)
    assert {1.0, 1 + 2**-7} >= set(float64(rounded).reshape(-1).tolist())


def test_a_key_says_which_way_and_each_place_has_its_own() -> None:
    """At a half of the way, two keys agree in about half of 10,000 places, and so do a place and
    the next, second or fourth next: standard deviation sqrt(10,000 / 4) = 50, five allowed."""
    values = mx.full((10_000,), 1 + 2**-8)

    def rounded(key: int) -> np.ndarray:
        return float64(stochastic_bf16(values, mx.random.key(key)))

    np.testing.assert_array_equal(rounded(7), rounded(7))
    assert 5_000 == pytest.approx((rounded(7) == rounded(8)).sum(), abs=250)
    for distance in (1, 2, 4):
        agreeing = (rounded(7) == np.roll(rounded(7), distance)).sum()
        assert 5_000 == pytest.approx(agreeing, abs=250)


def test_unset_is_what_suits_the_device() -> None:
    """bfloat16 products are slow on a CPU; what is set holds everywhere."""
    on_gpu = mx.default_device().type == mx.DeviceType.gpu
    suited = Precision.bf16_stochastic if on_gpu else Precision.fp32

    assert suited is precision_of(TrainerConfig(steps=1))
    assert Precision.bf16 is precision_of(TrainerConfig(steps=1, precision=Precision.bf16))


@EVERY
def test_a_cast_reaches_frozen_weights_and_no_integers(precision: Precision) -> None:
    model = Vectors([0.1, 0.2], mx.array([1, 2]))
    model.freeze()

    cast(model, precision, mx.random.key(0))

    floating = mx.float32 if precision is Precision.fp32 else mx.bfloat16
    assert [floating, mx.int32] == [array.dtype for array in model.vectors]


@pytest.mark.parametrize(
    ("deviation", "share"),
    # 2 Phi(2^-10 / deviation) - 1.
    [(0.01, 0.0778), (0.02, 0.0389), (0.04, 0.0195)],
)
def test_bf16_loses_most_of_an_update_at_the_learning_rate_of_the_study(
    deviation: float, share: float
) -> None:
    """Adam's first update moves every weight by the learning rate, 2e-6. From 2^e on a bfloat16
    has its neighbours 2^(e-7) away and is left for one of them by a move of more than half of it:
    2e-6 > 2^(e-8) up to e = -11, so only weights below 2^-10 = 0.00098 change.
    200,000 draws give the share to 0.06 % or better; five times that is allowed."""
    weights = Weights(Vectors(normal(200_000, deviation)), adamw(), Precision.bf16, seed=1)

    changed = weights.step(gradient(mx.ones(200_000)))

    assert share == pytest.approx(changed, abs=0.003)


@pytest.mark.parametrize("precision", [Precision.bf16_stochastic, Precision.bf16])
def test_chance_keeps_the_mean_of_an_update_and_rounding_to_nearest_does_not(
    precision: Precision,
) -> None:
    """Weights of deviation 0.02 lie below 2^-4, all but 1 in 500, where gaps are at most 2^-12 =
    2.4e-4. A move of 2e-6 becomes a gap or nothing: a standard deviation of at most
    sqrt(2e-6 * 2.4e-4) = 2.2e-5, of the mean over 400,000 of 3.5e-8. Five of those are 9 %."""
    count = 400_000
    weights = Weights(Vectors(normal(count)), adamw(), precision, seed=1)
    before = of(weights)

    weights.step(gradient(mx.ones(count)))
    mean = (of(weights) - before).mean()

    if precision is Precision.bf16_stochastic:
        assert -RATE == pytest.approx(mean, rel=0.1)
    else:
        assert -RATE / 10 < mean < 0


def test_a_master_gathers_what_bf16_loses() -> None:
    """1,000 steps of 2e-6 from 0.5 lead to 0.498. Below 0.5 the gap is 2^-9 = 0.00195, so the
    nearest bfloat16 is 0.5 - 2^-9; one step by itself is a thousandth of the gap."""
    kept = Weights(Vectors([0.5]), optimizers.SGD(RATE), Precision.bf16_master, seed=1)
    lost = Weights(Vectors([0.5]), optimizers.SGD(RATE), Precision.bf16, seed=1)

    for _ in range(1_000):
        kept.step(gradient([1.0]))
        lost.step(gradient([1.0]))

    assert [0.5 - 2**-9] == of(kept).tolist()
    assert [0.5] == of(lost).tolist()
    assert kept.masters is not None
    # Each of the 1,000 sums is off by at most half a gap of float32, 2^-26.
    assert 0.498 == pytest.approx(kept.masters["vectors"][0].item(), abs=1_000 * 2**-26)


def test_a_master_begins_as_it_was_before_the_cast() -> None:
    model = Vectors([0.1])
    weights = Weights(model, adamw(), Precision.bf16_master, seed=1)

    assert weights.masters is not None
    assert mx.array(0.1).item() == weights.masters["vectors"][0].item()
    # 0.1 = 204.8 * 2^-11.
    assert [205 * 2**-11] == of(weights).tolist()


@pytest.mark.parametrize("architecture", ["qwen2", "lfm2"])
def test_fp32_is_what_the_optimizer_does_bit_for_bit(
    architecture: str, eager: Callable[[str], Policy]
) -> None:
    """Over three updates of a model, with weight decay."""
    mine, plain = eager(architecture).model, eager(architecture).model
    weights, optimizer = Weights(mine, adamw(0.1), Precision.fp32, seed=1), adamw(0.1)

    for step in range(3):
        slopes = tree_map(
            lambda array, step=step: mx.random.normal(array.shape, key=mx.random.key(step)),
            plain.trainable_parameters(),
        )
        weights.step(slopes)
        optimizer.update(plain, slopes)

    assert same(plain, mine)
    for (_, a), (_, b) in zip(
        tree_flatten(optimizer.state), tree_flatten(weights.optimizer.state), strict=True
    ):
        assert mx.array_equal(a, b).item()


@EVERY
def test_the_state_of_the_optimizer_is_float32(precision: Precision) -> None:
    """And the model stores what it is asked to, before and after."""
    weights = Weights(Vectors([0.1, 0.2], [0.3]), adamw(), precision, seed=1)
    weights.step(gradient([1.0, 2.0], [3.0]))

    state = [(n, array) for n, array in tree_flatten(weights.optimizer.state) if n != "step"]
    assert 1 + 2 * 2 == len(state)
    assert {mx.float32} == {array.dtype for _, array in state}
    floating = mx.float32 if precision is Precision.fp32 else mx.bfloat16
    assert {floating} == {array.dtype for array in weights.model.vectors}
    masters = [array.dtype for _, array in tree_flatten(weights.masters or {})]
    assert ([mx.float32] * 2 if precision is Precision.bf16_master else []) == masters


@pytest.mark.parametrize(
    ("precision", "shares"),
    [
        # All but the one without a gradient, at every step.
        (Precision.fp32, [3 / 4, 3 / 4, 3 / 4, 3 / 4]),
        # 2^-7 is two gaps and 2^-8 one; 2^-10 is a quarter and never counts.
        (Precision.bf16, [2 / 4, 2 / 4, 2 / 4, 2 / 4]),
        # It counts when three of them have gathered; two are a half, which goes to the even 1.
        (Precision.bf16_master, [2 / 4, 2 / 4, 3 / 4, 2 / 4]),
    ],
)
def test_changed_share(precision: Precision, shares: list[float]) -> None:
    """Descent with step size 1 from 1; below 1 the gap is 2^-8."""
    model = Vectors([1.0, 1.0, 1.0], [1.0])
    weights = Weights(model, optimizers.SGD(1.0), precision, seed=1)

    actual = [weights.step(gradient([0.0, 2.0**-7, 2.0**-10], [2.0**-8])) for _ in shares]

    assert shares == actual


@EVERY
def test_frozen_weights_have_no_part_in_it(precision: Precision) -> None:
    """Neither in the share nor in the masters."""

    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trained, self.frozen = Vectors([1.0, 1.0]), Vectors([1.0] * 6)
            self.frozen.freeze()

    model = Half()
    weights = Weights(model, optimizers.SGD(1.0), precision, seed=1)
    masters = [name for name, _ in tree_flatten(weights.masters or {})]

    assert (["trained.vectors.0"] if precision is Precision.bf16_master else []) == masters
    assert 0.5 == weights.step({"trained": gradient([0.5, 0.0])})
    assert [0.5, 1.0] == model.trained.vectors[0].tolist()
    assert [1.0] * 6 == model.frozen.vectors[0].tolist()


def test_rounding_follows_from_seed_and_update_and_differs_between_leaves() -> None:
    """From 1 by 2^-9, half of the gap below 1; 100 places agree by chance once in 2^100."""

    def after(seed: int, earlier: int = 0) -> np.ndarray:
        model = Vectors([1.0] * 100, [1.0] * 100)
        weights = Weights(model, optimizers.SGD(1.0), Precision.bf16_stochastic, seed)
        for _ in range(earlier):
            weights.step(gradient([0.0] * 100, [0.0] * 100))
        assert earlier == weights.updates
        weights.step(gradient([2.0**-9] * 100, [2.0**-9] * 100))
        return of(weights)

    assert (after(1) == after(1)).all()
    assert (after(1) != after(2)).any()
    assert (after(1) != after(1, earlier=1)).any()
    assert (after(1)[:100] != after(1)[100:]).any()


@EVERY
def test_whoever_has_the_state_goes_on_to_the_same_bits(precision: Precision) -> None:
    """Stored weights, optimizer state and masters are all there is; the count of updates, which
    the rounding follows, is in the state."""
    start = normal(1_000)

    def updates(weights: Weights, steps: range) -> None:
        for step in steps:
            weights.step(gradient(mx.random.normal(start.shape, key=mx.random.key(100 + step))))

    whole = Weights(Vectors(start), adamw(), precision, seed=1)
    updates(whole, range(6))
    first = Weights(Vectors(start), adamw(), precision, seed=1)
    updates(first, range(3))
    second = Weights(Vectors(first.model.vectors[0].astype(mx.float32)), adamw(), precision, seed=1)
    second.optimizer.state = first.optimizer.state
    second.masters = first.masters
    updates(second, range(3, 6))

    assert 6 == second.updates
    assert same(whole.model, second.model)


@EVERY
def test_an_update_needs_a_few_leaves_in_between_and_leaves_nothing_behind(
    precision: Precision,
) -> None:
    """Weights in 40 leaves of 0.4 MB. MLX's own update of the whole tree, evaluated at once,
    takes as much as the tree and more on top of what it begins and ends with."""
    leaves, size = 40, 100_000
    weights = Weights(Vectors(*[mx.ones(size)] * leaves), adamw(0.1), precision, seed=1)
    slopes = gradient(*[mx.full((size,), 0.5)] * leaves)
    mx.eval(slopes)
    weights.step(slopes)  # makes the optimizer's state
    mx.reset_peak_memory()
    before = mx.get_active_memory()

    weights.step(slopes)

    assert mx.get_peak_memory() - before < 10 * 4 * size
    assert mx.get_active_memory() - before < 4 * size


def test_what_a_stage_before_has_learned_is_not_lost_in_the_cast() -> None:
    """Between 1 and 1 + 2^-7 there is no bfloat16. 10,000 weights of 1 + 2^-9 become 1 or, one
    time in four, 1 + 2^-7: their mean stays, within 5 standard deviations of
    2^-7 sqrt(0.25 * 0.75 / 10000) = 3.4e-5."""
    model = nn.Linear(100, 100, bias=False)
    model.weight = mx.full((100, 100), 1 + 2**-9)

    cast(model, Precision.bf16_stochastic, mx.random.key(0))

    assert mx.bfloat16 == model.weight.dtype
    mean = np.array(model.weight.astype(mx.float32), np.float64).mean()
    assert 1 + 2**-9 == pytest.approx(mean, abs=5 * 3.4e-5)


def test_masters_are_what_a_stage_leaves() -> None:
    """Not their rounded values: 1 + 2^-9 would be 1."""
    model = nn.Linear(1, 1, bias=False)
    model.weight = mx.array([[1 + 2**-9]])
    weights = Weights(model, optimizers.AdamW(0.0), Precision.bf16_master, seed=0)
    assert 1.0 == model.weight.item()

    weights.finish()

    assert mx.float32 == model.weight.dtype
    assert 1 + 2**-9 == model.weight.item()
