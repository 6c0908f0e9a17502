"""A prompt's state, given to a group, against the whole sequence in one pass."""

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from architectures import windowed
from mlx.utils import tree_flatten
from mlx_lm.models.cache import ArraysCache, ConcatenateKVCache

from tersely.policy.load import Policy
from tersely.policy.prompt_state import (
    arrays_in,
    caches_from,
    can_share_prompt,
    empty_caches,
    prompt_state,
    put_into,
)

PROMPT = [5, 9, 301, 77, 8]
GROUP = mx.array([[4, 8, 15, 16], [23, 42, 2, 600], [601, 602, 1, 1]])
"""Three completions of 4 tokens."""


def went_on(model: nn.Module, prompt: list[int]) -> mx.array:
    """Hidden states of the group `[3, 4, D]`, the prompt computed once."""
    caches = caches_from(model, prompt_state(model, model.model, prompt), len(GROUP))
    return model.model(GROUP, cache=caches)


def in_one_pass(model: nn.Module, prompt: list[int]) -> mx.array:
    """The same with the prompt in every row and no cache."""
    rows = mx.concatenate([mx.array([prompt] * len(GROUP)), GROUP], axis=1)
    return model.model(rows)[:, len(prompt) :]


def gradient(policy: Policy, hidden: Callable[[nn.Module, list[int]], mx.array]) -> dict[str, Any]:
    """Of an uneven sum of hidden states in every parameter."""
    weights = mx.random.normal((3, 4, 64), key=mx.random.key(1))
    model = policy.model
    slopes = nn.value_and_grad(model, lambda: (hidden(model, PROMPT) * weights).sum())()[1]
    return {name: np.array(array) for name, array in tree_flatten(slopes)}


@pytest.mark.parametrize("prompt", [PROMPT, [7], list(range(300, 340))], ids=len)
def test_a_group_goes_on_from_the_prompt_as_if_it_had_read_it(
    prompt: list[int], policy: Policy
) -> None:
    """Also after one token, when the convolutions of Lfm2 have not filled their window of 3."""
    np.testing.assert_allclose(
        np.array(in_one_pass(policy.model, prompt)),
        np.array(went_on(policy.model, prompt)),
        rtol=1e-4,
        atol=1e-5,
    )


def test_the_gradient_flows_back_into_the_prompt(policy: Policy) -> None:
    plain, shared = gradient(policy, in_one_pass), gradient(policy, went_on)

    assert plain.keys() == shared.keys()
    for name, expected in plain.items():
        off = np.linalg.norm(expected - shared[name])
        assert off <= 1e-5 * np.linalg.norm(expected), name


def test_a_token_that_only_the_prompt_has_gets_a_gradient(policy: Policy) -> None:
    """Its row of the embedding is reached through the state alone."""
    rows = gradient(policy, went_on)["model.embed_tokens.weight"]
    assert rows[301].any()
    assert not rows[302].any()


def test_each_layer_leaves_what_it_needs(policy: Policy) -> None:
    """Attention keeps a key and a value of 32 numbers for each of 5 tokens (one head of two);
    a convolution over 3 tokens keeps the last 2 of its 64 inputs."""
    attention, convolution = [(1, 1, 5, 32)] * 2, [(1, 2, 64)]
    expected = {
        "qwen2": [attention, attention],
        "lfm2": [convolution, attention, convolution],
    }[policy.config["model_type"]]

    state = prompt_state(policy.model, policy.model.model, PROMPT)

    assert expected == [[array.shape for array in layer] for layer in state]


def test_the_group_s_caches_are_views_of_one_state(policy: Policy) -> None:
    """A thousand completions take no more memory for their prompt than one."""
    state = prompt_state(policy.model, policy.model.model, list(range(200)))
    mx.eval(state)
    before = mx.get_active_memory()

    caches = caches_from(policy.model, state, 1000)
    arrays = [array for cache in caches for array in arrays_in(cache)]
    mx.eval(arrays)

    assert {1000} == {array.shape[0] for array in arrays}
    assert mx.get_active_memory() - before < sum(array.nbytes for each in state for array in each)


def test_the_state_can_be_given_away_again(policy: Policy) -> None:
    """Chunks of a group start from it one after the other; none of them changes it."""
    model = policy.model
    state = prompt_state(model, model.model, PROMPT)
    before = [np.array(array) for layer in state for array in layer]

    first, second = (model.model(GROUP, cache=caches_from(model, state, 3)) for _ in range(2))

    assert mx.array_equal(first, second).item()
    for kept, layer in zip(before, (array for each in state for array in each), strict=True):
        np.testing.assert_array_equal(kept, np.array(layer))


def test_a_window_cannot_be_shared(policy: Policy) -> None:
    assert can_share_prompt(policy.model)
    assert not can_share_prompt(windowed())


@pytest.mark.parametrize("size", [1, 2])
def test_arrays_go_into_a_cache_and_come_out_of_it(size: int) -> None:
    """Nothing is in a cache before its first use; a key-value cache knows its length after it."""
    keys, values = mx.ones((2, 1, 7, 4)), mx.zeros((2, 1, 7, 4))
    attention, arrays = ConcatenateKVCache(), ArraysCache(size=size)
    assert [] == arrays_in(attention) == arrays_in(arrays)

    put_into(attention, [keys, values])
    put_into(arrays, [keys, values][:size])

    assert [id(keys), id(values)] == [id(array) for array in arrays_in(attention)]
    assert [id(keys), id(values)][:size] == [id(array) for array in arrays_in(arrays)]
    assert 7 == attention.offset


def test_caches_are_made_for_each_layer_anew(policy: Policy) -> None:
    one, other = empty_caches(policy.model), empty_caches(policy.model)
    assert len(policy.model.layers) == len(one) == len(other)
    assert not {id(cache) for cache in one} & {id(cache) for cache in other}
