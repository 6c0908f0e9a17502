"""The shared-prompt scoring against the plain one, and both against a softmax written out."""

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm.models import gemma3_text
from mlx_lm.models.cache import make_prompt_cache

from tersely.policy.load import Policy
from tersely.policy.logprobs import (
    Scored,
    can_share_prompt,
    completion_logprobs,
    completion_mask,
    plain_logprobs,
    shared_prompt_logprobs,
)

PROMPTS = [[5, 9, 301, 77, 8], [1000 + 7 * n for n in range(30)], [2047, 3]]
"""P = 3, of 5, 30 and 2 tokens: 2 is the shortest that is allowed."""
COMPLETIONS = [
    [[4, 8, 15, 16, 23, 42, 2], [11, 2], [600, 601, 602]],
    [[2], [2], [2]],
    [[900] * 12, [2], [31, 41, 59]],
]
"""G = 3, ragged, one whole group of single tokens."""


def sharpen(model: nn.Module) -> nn.Module:
    """Make the random model's distributions uneven, so that errors show."""
    model.model.embed_tokens.weight = model.model.embed_tokens.weight * 2
    return model


def softmax_logprobs(
    model: nn.Module, prompt: list[int], completion: list[int], temperature: float
) -> list[float]:
    """One sequence, no cache, no padding, log-softmax in float64."""
    logits = np.array(model(mx.array([prompt + completion]))[0], dtype=np.float64) / temperature
    logprobs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    return [logprobs[len(prompt) - 1 + t, token] for t, token in enumerate(completion)]


def gradient_of(model: nn.Module, loss: Callable[[nn.Module], mx.array]) -> dict[str, np.ndarray]:
    gradient = nn.value_and_grad(model, lambda: loss(model))()[1]
    return {name: np.array(array) for name, array in tree_flatten(gradient)}


def assert_same_gradient(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name, expected in one.items():
        off = np.linalg.norm(expected - other[name])
        assert off <= 1e-5 * np.linalg.norm(expected), name


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_every_token_has_the_logprob_of_a_softmax_written_out(
    policy: Policy, temperature: float
) -> None:
    """Several prompts of different length, ragged groups, both architectures."""
    model = sharpen(policy.model)

    scored = completion_logprobs(model, PROMPTS, COMPLETIONS, temperature)

    assert (3, 3, 12) == scored.logprobs.shape == scored.mask.shape
    assert mx.float32 == scored.logprobs.dtype == scored.mask.dtype
    for p, (prompt, group) in enumerate(zip(PROMPTS, COMPLETIONS, strict=True)):
        for g, completion in enumerate(group):
            expected = softmax_logprobs(model, prompt, completion, temperature)
            actual = np.array(scored.logprobs[p, g])
            np.testing.assert_allclose(actual[: len(completion)], expected, rtol=1e-5, atol=1e-5)
            assert not actual[len(completion) :].any()
            assert len(completion) == scored.mask[p, g].sum().item()


def test_shared_prompt_and_plain_path_agree_in_logprobs_and_gradient(policy: Policy) -> None:
    """One pass over the prompt for a whole group changes time, never the numbers."""
    model = sharpen(policy.model)
    assert can_share_prompt(model)
    weights = mx.random.normal((3, 12), key=mx.random.key(0))

    for prompt, group in zip(PROMPTS, COMPLETIONS, strict=True):
        mask = completion_mask(group, 12)

        def loss(
            model: nn.Module,
            path: Callable[..., mx.array],
            prompt: list[int] = prompt,
            group: list[list[int]] = group,
            mask: mx.array = mask,
        ) -> mx.array:
            return (path(model, prompt, group, 12, 0.7) * mask * weights).sum()

        shared = np.array(shared_prompt_logprobs(model, prompt, group, 12, 0.7) * mask)
        plain = np.array(plain_logprobs(model, prompt, group, 12, 0.7) * mask)
        np.testing.assert_allclose(shared, plain, rtol=1e-5, atol=1e-5)
        assert_same_gradient(
            gradient_of(model, lambda model, loss=loss: loss(model, plain_logprobs)),
            gradient_of(model, lambda model, loss=loss: loss(model, shared_prompt_logprobs)),
        )


def test_padding_contributes_nothing(policy: Policy) -> None:
    """The gradient of a short and a long completion together is the sum of each alone."""
    model = sharpen(policy.model)
    prompt, short, long = PROMPTS[0], [31, 2], [900, 7, 7, 61, 5, 2]

    def total(model: nn.Module, group: list[list[int]]) -> mx.array:
        return completion_logprobs(model, [prompt], [group]).logprobs.sum()

    together = gradient_of(model, lambda model: total(model, [short, long]))
    alone = [gradient_of(model, lambda model, c=c: total(model, [c])) for c in (short, long)]

    assert_same_gradient({name: alone[0][name] + alone[1][name] for name in alone[0]}, together)
    np.testing.assert_allclose(
        np.array(completion_logprobs(model, [prompt], [[short]]).logprobs[0, 0]),
        np.array(completion_logprobs(model, [prompt], [[short, long]]).logprobs[0, 0, :2]),
        rtol=1e-5,
    )


class Biased(nn.Module):
    """A model with one more parameter: a number added to the logit of each token."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.bias = mx.zeros(2048)

    def __call__(self, inputs: mx.array, cache: Any = None) -> mx.array:
        return self.inner(inputs, cache=cache) + self.bias

    def make_cache(self) -> list[Any]:
        return make_prompt_cache(self.inner)


def test_the_end_of_turn_token_is_a_label(policy: Policy) -> None:
    """Stopping is learned: the log-probability of a completion pushes its end-of-turn logit up."""
    end = policy.tokenizer.end_of_turn
    model = Biased(sharpen(policy.model))
    prompt, words = PROMPTS[0], [40, 41]

    def gradient_of_end(completion: list[int]) -> float:
        gradient = gradient_of(
            model, lambda model: completion_logprobs(model, [prompt], [[completion]]).logprobs.sum()
        )
        return float(gradient["bias"][end])

    # d log p(token) / d logit(end) = [token is end] - p(end), summed over positions.
    p_end = [np.exp(softmax_logprobs(model, prompt, [*words[:t], end], 1.0)[-1]) for t in range(3)]
    assert 1 - sum(p_end) == pytest.approx(gradient_of_end([*words, end]), rel=1e-4)
    assert -sum(p_end[:2]) == pytest.approx(gradient_of_end(words), rel=1e-4)


def test_a_layer_with_another_cache_takes_the_plain_path() -> None:
    """Gemma 3 keeps a rotating window, which cannot be shared; its scores are right even so,
    with a prompt longer than the window."""
    model = gemma3_text.Model(
        gemma3_text.ModelArgs(
            model_type="gemma3_text",
            hidden_size=32,
            num_hidden_layers=3,
            intermediate_size=64,
            num_attention_heads=2,
            head_dim=16,
            vocab_size=2048,
            sliding_window=8,
            sliding_window_pattern=3,
        )
    )
    assert not can_share_prompt(model)

    scored: Scored = completion_logprobs(model, PROMPTS, COMPLETIONS, 0.8)

    for p, (prompt, group) in enumerate(zip(PROMPTS, COMPLETIONS, strict=True)):
        for g, completion in enumerate(group):
            np.testing.assert_allclose(
                np.array(scored.logprobs[p, g, : len(completion)]),
                softmax_logprobs(model, prompt, completion, 0.8),
                rtol=1e-5,
                atol=1e-5,
            )


def test_a_completion_list_for_each_prompt_is_asked_for(policy: Policy) -> None:
    """Prompts and groups that do not pair up are a defect, not a shorter result."""
    with pytest.raises(ValueError, match="shorter"):
        completion_logprobs(policy.model, PROMPTS, COMPLETIONS[:2])
