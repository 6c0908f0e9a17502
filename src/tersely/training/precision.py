"""Updates that bfloat16 does not round away.

A bfloat16 has 8 significant bits: beside a weight of 0.02 its next neighbour is 1.2e-4 away, and
a step of 2e-6 rounds back to where it came from. What is stored may be bfloat16 all the same, if
the float32 values are kept elsewhere or the rounding is a matter of chance.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import mlx.core as mx
import mlx.nn as nn
from mlx.optimizers import Optimizer
from mlx.utils import tree_flatten, tree_map, tree_unflatten

from tersely.seeds import derive
from tersely.training.config import Precision, TrainerConfig

Tree = Any
"""Arrays in the structure of `model.trainable_parameters()`."""


def precision_of(trainer: TrainerConfig) -> Precision:
    """What `trainer.precision` says or, unset, what suits the device: stochastic bfloat16 on a
    GPU; float32 on a CPU, where nothing is faster in bfloat16."""
    if trainer.precision is not None:
        return trainer.precision
    on_gpu = mx.default_device().type == mx.DeviceType.gpu
    return Precision.bf16_stochastic if on_gpu else Precision.fp32


def cast(model: nn.Module, precision: Precision, key: mx.array) -> None:
    """Store the floating-point parameters of `model` as `precision` has them: float32 for
    `fp32`, bfloat16 for the others.

    `bf16_stochastic` rounds by chance here too: what a stage before has learned may lie between
    two values of bfloat16. So does `bf16_master` what is not trained in this stage and has no
    float32 beside it, as the weights below adapters. A bfloat16 checkpoint stays what it is.
    """
    by_chance = {
        Precision.bf16_stochastic: dict(tree_flatten(model.parameters())),
        Precision.bf16_master: dict(_frozen(model)),
    }.get(precision, {})
    if by_chance:
        keys = mx.random.split(key, len(by_chance))
        rounded = [
            (name, stochastic_bf16(array, own) if array.dtype == mx.float32 else array)
            for (name, array), own in zip(by_chance.items(), keys, strict=True)
        ]
        model.update(tree_unflatten(rounded))
    model.set_dtype(mx.float32 if precision is Precision.fp32 else mx.bfloat16)
    mx.eval(model.parameters())


def _frozen(model: nn.Module) -> list[tuple[str, mx.array]]:
    """What is not trained, by name."""
    trained = dict(tree_flatten(model.trainable_parameters()))
    return [leaf for leaf in tree_flatten(model.parameters()) if leaf[0] not in trained]


class _Leaf(NamedTuple):
    """One array of weights after an update."""

    exact: mx.array
    """float32, as the optimizer has it."""
    rounded: mx.array
    """As the model stores it."""
    changed: mx.array
    """Scalar: of how many weights the stored value is another one."""


class Weights:
    """The weights of a policy as an optimizer moves them.

    The optimizer computes in float32 and keeps its state in float32, whatever the weights are
    stored in.
    """

    masters: Tree | None = None
    """The trainable parameters in float32, of which the model has the rounded values; None but
    for `bf16_master`. Micikevicius et al., 2018, "Mixed precision training", section 3.1."""

    def __init__(
        self, model: nn.Module, optimizer: Optimizer, precision: Precision, seed: int
    ) -> None:
        """`model` has float32 parameters and is cast here; `seed` is that of the rounding.

        `optimizer` has one step count and one state (MLX's `MultiOptimizer` has not).
        """
        self.model, self.optimizer = model, optimizer
        self._precision, self._seed = precision, seed
        if precision is Precision.bf16_master:
            self.masters = _float32(model.trainable_parameters())
        cast(model, precision, mx.random.key(derive(seed, "rounding")))

    def finish(self) -> None:
        """End a stage: the model gets the float32 values that were kept beside it."""
        if self.masters is not None:
            self.model.update(self.masters)
            mx.eval(self.model.parameters())

    def arrays(self) -> dict[str, mx.array]:
        """All that further updates depend on, by name: the trainable weights, in
        float32 where that is kept, and the optimizer's state."""
        kept = {"optimizer": self.optimizer.state, "weights": self._exact()}
        return dict(tree_flatten(kept))

    def restore(self, arrays: Mapping[str, mx.array]) -> None:
        """Go on from `arrays()`, to the bit."""
        kept: Any = tree_unflatten(list(arrays.items()))
        self.optimizer.state = kept["optimizer"]
        weights = kept["weights"]
        if self.masters is not None:
            self.masters = weights
            weights = tree_map(lambda array: array.astype(mx.bfloat16), weights)
        self.model.update(weights)
        mx.eval(self.model.parameters(), self.masters, self.optimizer.state)

    def _exact(self) -> Tree:
        return self.model.trainable_parameters() if self.masters is None else self.masters

    @property
    def updates(self) -> int:
        """Updates so far; counted by the optimizer, so whoever restores `optimizer.state`
        restores this, and with it the rounding of the updates to come."""
        return int(self.optimizer.step.item())

    def step(self, gradient: Tree) -> float:
        """Apply one update and say which share of the trainable weights it changed, in [0, 1].

        `gradient` is a tree of float32 arrays like `model.trainable_parameters()`. A weight
        counts as changed where the value that the model stores is another one.
        """
        leaves = self._planned(gradient)
        changed = size = 0
        while leaves:
            leaf = leaves.pop()
            mx.eval(leaf.exact)
            mx.eval(leaf.rounded, leaf.changed)
            count: Any = leaf.changed.item()
            changed += count
            size += leaf.rounded.size
        mx.eval(self.optimizer.state)
        return changed / size

    def _planned(self, gradient: Tree) -> list[_Leaf]:
        """Give model and masters their new values without computing any of them, and nobody else
        a hold on the old ones: what an update needs in between is then a few arrays of the size
        of the leaf that is being computed."""
        key = mx.random.key(derive(self._seed, "rounding", self.updates))
        stored = dict(tree_flatten(self.model.trainable_parameters()))
        if self.masters is None:
            exact = self.optimizer.apply_gradients(
                gradient, _float32(self.model.trainable_parameters())
            )
        else:
            exact = self.masters = self.optimizer.apply_gradients(gradient, self.masters)
        values = tree_flatten(exact)
        keys = mx.random.split(key, len(values))
        leaves = {}
        for (name, value), own in zip(values, keys, strict=True):
            rounded = self._rounded(value, own)
            leaves[name] = _Leaf(value, rounded, mx.sum(rounded != stored[name]))
        self.model.update(tree_unflatten([(name, leaf.rounded) for name, leaf in leaves.items()]))
        return list(leaves.values())

    def _rounded(self, exact: mx.array, key: mx.array) -> mx.array:
        if self._precision is Precision.fp32:
            return exact
        if self._precision is Precision.bf16_stochastic:
            return stochastic_bf16(exact, key)
        return exact.astype(mx.bfloat16)


def stochastic_bf16(values: mx.array, key: mx.array) -> mx.array:
    """Round float32 to bfloat16, up or down by chance, so that the mean is exact.

    A value that lies the fraction f of the way from one bfloat16 to the next, away from 0,
    becomes the next with probability f, a multiple of 2^-16, and a bfloat16 stays what it is:
    E[x_bf16] = x for every finite x whose neighbours are finite. The same `key` gives the same
    bits. Any shape.

    Gupta et al., 2015, "Deep learning with limited numerical precision", section 3; for training
    in bfloat16: Zamirai et al., 2020, "Revisiting BFloat16 training".
    """
    # A bfloat16 is the upper half of a float32, and magnitudes are ordered as their bits are:
    # 16 random bits added to the lower half carry over with the probability that is wanted.
    carried = values.view(mx.uint32) + _random_16_bits(values.shape, key)
    rounded = (carried >> 16).astype(mx.uint16).view(mx.bfloat16)
    # A NaN whose bits are all ones would carry over into -0.
    return mx.where(mx.isnan(values), mx.array(math.nan, mx.bfloat16), rounded)


def _random_16_bits(shape: tuple[int, ...], key: mx.array) -> mx.array:
    """Uniform uint16. A new key is two words of 32 random bits, and nothing else that MLX has in
    Python gives the bits of its generator as they are; `randint` takes three times as long."""
    size = math.prod(shape)
    bits = mx.random.split(key, max(1, math.ceil(size / 4))).view(mx.uint16)
    return bits.reshape(-1)[:size].reshape(shape)


def _float32(tree: Tree) -> Tree:
    return tree_map(lambda array: array.astype(mx.float32), tree)
