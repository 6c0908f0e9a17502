"""Checkpoints change memory and time, and nothing else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from architectures import windowed
from mlx.utils import tree_flatten
from mlx_lm.models import qwen2

from tersely.policy.checkpointing import checkpointed_layers
from tersely.policy.load import Policy, load_policy
from tersely.policy.prompt_state import caches_from, prompt_state

ROWS = mx.array([[5, 9, 301, 77, 8, 1], [23, 42, 2, 600, 7, 7]])
PROMPT = list(range(300, 312))


def alone(model: nn.Module) -> mx.array:
    """Logits without a cache."""
    return model(ROWS)


def after_a_prompt(model: nn.Module) -> mx.array:
    """Logits after a prompt whose state is computed once, and is differentiated through."""
    state = prompt_state(model, model.model, PROMPT)
    return model(ROWS, cache=caches_from(model, state, len(ROWS)))


def gradient(model: nn.Module, logits: Callable[[nn.Module], mx.array]) -> dict[str, np.ndarray]:
    """Of an uneven sum of logits, by every trainable parameter. Tracing leaves its own arrays in
    the layers, so the parameters are put back, as whoever uses checkpoints has to do."""
    parameters = model.trainable_parameters()

    def total(tree: dict[str, Any]) -> mx.array:
        model.update(tree)
        values = logits(model)
        return (values * mx.random.normal(values.shape, key=mx.random.key(2))).sum()

    slopes = mx.grad(total)(parameters)
    model.update(parameters)
    return {name: np.array(array) for name, array in tree_flatten(slopes)}


def assert_same(expected: dict[str, np.ndarray], actual: dict[str, np.ndarray]) -> None:
    assert expected.keys() == actual.keys()
    for name, array in expected.items():
        off = np.linalg.norm(array - actual[name])
        assert off <= 1e-6 * np.linalg.norm(array), name


@pytest.mark.parametrize("logits", [alone, after_a_prompt], ids=lambda each: each.__name__)
def test_the_gradient_is_the_same(policy: Policy, logits: Callable[[nn.Module], mx.array]) -> None:
    """The same operations on the same numbers, done twice."""
    kept = gradient(policy.model, logits)
    with checkpointed_layers(policy.model):
        again = gradient(policy.model, logits)
    assert_same(kept, again)


def test_the_gradient_is_the_same_with_masks_that_differ_between_layers() -> None:
    model = windowed(4)
    kept = gradient(model, alone)
    with checkpointed_layers(model):
        again = gradient(model, alone)
    assert_same(kept, again)


def test_frozen_layers_pass_the_gradient_on(policy: Policy) -> None:
    """As adapters need it: here the last layer alone is trained, then the first alone."""
    for trained in (-1, 0):
        policy.model.freeze()
        policy.model.layers[trained].unfreeze()
        kept = gradient(policy.model, after_a_prompt)
        with checkpointed_layers(policy.model):
            again = gradient(policy.model, after_a_prompt)
        assert {f"model.layers.{trained % len(policy.model.layers)}"} == {
            ".".join(name.split(".")[:3]) for name in kept
        }
        assert_same(kept, again)


def test_a_forward_pass_is_the_same_and_leaves_the_same_state(policy: Policy) -> None:
    def state() -> list[np.ndarray]:
        layers = prompt_state(policy.model, policy.model.model, PROMPT)
        return [np.array(array) for layer in layers for array in layer]

    logits, kept = np.array(after_a_prompt(policy.model)), state()
    with checkpointed_layers(policy.model):
        np.testing.assert_array_equal(logits, np.array(after_a_prompt(policy.model)))
        for one, other in zip(kept, state(), strict=True):
            np.testing.assert_array_equal(one, other)


def test_less_is_kept_for_the_backward_pass() -> None:
    """12 layers on 512 tokens: each keeps about 20 arrays as wide as its input, and a checkpoint
    keeps one. Measured 138 MB and 41 MB, 13 of which are gradients; half is allowed."""
    model = qwen2.Model(
        qwen2.ModelArgs(
            model_type="qwen2",
            hidden_size=128,
            num_hidden_layers=12,
            intermediate_size=512,
            num_attention_heads=2,
            num_key_value_heads=1,
            rms_norm_eps=1e-6,
            vocab_size=64,
        )
    )
    rows = mx.arange(512)[None] % 64
    mx.eval(model.parameters(), rows)

    def peak() -> int:
        before = mx.get_active_memory()
        mx.reset_peak_memory()
        parameters = model.trainable_parameters()
        mx.eval(mx.grad(lambda tree: (model.update(tree), model(rows).sum())[1])(parameters))
        model.update(parameters)
        return mx.get_peak_memory() - before

    kept = peak()
    with checkpointed_layers(model):
        again = peak()

    assert again < kept / 2


def test_layers_are_of_their_own_class_again_afterwards(policy: Policy) -> None:
    """After an error, too."""
    classes = [type(layer) for layer in policy.model.layers]

    with checkpointed_layers(policy.model):
        within = [type(layer) for layer in policy.model.layers]
        assert not set(classes) & set(within)
        assert all(issubclass(a, b) for a, b in zip(within, classes, strict=True))
    assert classes == [type(layer) for layer in policy.model.layers]

    with pytest.raises(ZeroDivisionError), checkpointed_layers(policy.model):
        raise ZeroDivisionError
    assert classes == [type(layer) for layer in policy.model.layers]


def test_another_model_of_the_architecture_is_not_touched(
    policy: Policy, checkpoint: Callable[[str], Path]
) -> None:
    """The sampler's, which is at work at the same time."""
    other = load_policy(checkpoint(policy.config["model_type"])).model
    call = type(other.layers[0]).__call__

    with checkpointed_layers(policy.model):
        assert call is type(other.layers[0]).__call__
        assert type(policy.model.layers[0]) is not type(other.layers[0])
