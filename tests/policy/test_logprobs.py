"""Scoring in all its short cuts against the plain path: every row with its prompt, whole logits,
log-softmax."""

from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from architectures import capped, scaled, untied, windowed
from mlx.utils import tree_flatten
from mlx_lm.models.cache import make_prompt_cache

from tersely.policy.load import Policy
from tersely.policy.logprobs import Scorer, completion_logprobs, completion_mask, padded

PROMPTS = [[5, 9, 301, 77, 8], [1000 + 7 * n for n in range(30)], [2047, 3], [77]]
"""P = 4, of 5, 30, 2 and 1 tokens; one token leaves no state to share."""
COMPLETIONS = [
    [[4, 8, 15, 16, 23, 42, 2], [11, 2], [600, 601, 602]],
    [[2], [2], [2]],
    [[900] * 12, [2], [31, 41, 59]],
    [[2], [7, 7, 2], [1, 2, 3, 4]],
]
"""G = 3, ragged, one whole group of single tokens."""
SIXTEEN = [[(37 * row + 11 * at) % 2048 for at in range(1 + row % 9)] for row in range(16)]
"""A group of 16 with 1 to 9 tokens."""


OTHERS = {
    untied: (True, True),
    windowed: (False, True),
    capped: (True, False),
    scaled: (True, False),
}
"""Whether they share a prompt and whether their LM head is fused."""


def sharpen(model: nn.Module) -> nn.Module:
    """Make the random model's distributions uneven, so that errors show."""
    model.model.embed_tokens.weight = model.model.embed_tokens.weight * 2
    return model


def plain_logprobs(
    model: nn.Module, prompt: Sequence[int], completion: Sequence[int], temperature: float
) -> mx.array:
    """`[T]`: one sequence, no cache, no padding, logits at all positions."""
    logits = model(mx.array([[*prompt, *completion]]))[0] / temperature
    logprobs = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
    places = mx.arange(len(completion)) + len(prompt) - 1
    return logprobs[places, mx.array(completion)]


def softmax_logprobs(
    model: nn.Module, prompt: list[int], completion: list[int], temperature: float
) -> np.ndarray:
    """`[T]`: the same with a softmax in float64."""
    logits = np.array(model(mx.array([prompt + completion]))[0], dtype=np.float64) / temperature
    logprobs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    return logprobs[len(prompt) - 1 + np.arange(len(completion)), completion]


def assert_logprobs(
    model: nn.Module,
    prompts: list[list[int]],
    completions: list[list[list[int]]],
    temperature: float,
) -> None:
    scored = completion_logprobs(model, prompts, completions, temperature)
    longest = max(len(completion) for group in completions for completion in group)
    shape = (len(prompts), len(completions[0]), longest)
    assert shape == scored.logprobs.shape == scored.mask.shape
    assert mx.float32 == scored.logprobs.dtype == scored.mask.dtype
    for p, (prompt, group) in enumerate(zip(prompts, completions, strict=True)):
        for g, completion in enumerate(group):
            expected = softmax_logprobs(model, prompt, completion, temperature)
            actual = np.array(scored.logprobs[p, g])
            # Logits reach 20: float32 is 2e-6 off in each, the plain path 1.4e-5 in a logprob.
            np.testing.assert_allclose(actual[: len(completion)], expected, rtol=1e-5, atol=3e-5)
            assert not actual[len(completion) :].any()
            mask = [1.0] * len(completion) + [0.0] * (longest - len(completion))
            assert mask == scored.mask[p, g].tolist()


def gradient_of(model: nn.Module, loss: Callable[[nn.Module], mx.array]) -> dict[str, np.ndarray]:
    gradient = nn.value_and_grad(model, lambda: loss(model))()[1]
    return {name: np.array(array) for name, array in tree_flatten(gradient)}


def assert_same_gradient(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name, expected in one.items():
        off = np.linalg.norm(expected - other[name])
        assert off <= 1e-5 * np.linalg.norm(expected), name


def assert_gradient(
    model: nn.Module, prompt: list[int], group: list[list[int]], temperature: float
) -> None:
    """Of an uneven sum of the group's log-probabilities, in every parameter."""
    length = max(map(len, group))
    weights = mx.random.normal((len(group), length), key=mx.random.key(0))

    def short(model: nn.Module) -> mx.array:
        return (completion_logprobs(model, [prompt], [group], temperature).logprobs * weights).sum()

    def plain(model: nn.Module) -> mx.array:
        rows = [
            (plain_logprobs(model, prompt, completion, temperature) * own[: len(completion)]).sum()
            for completion, own in zip(group, weights, strict=True)
        ]
        return mx.stack(rows).sum()

    assert_same_gradient(gradient_of(model, plain), gradient_of(model, short))


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_every_token_has_the_logprob_of_a_softmax_written_out(
    policy: Policy, temperature: float
) -> None:
    """Several prompts of different length, ragged groups, both architectures."""
    model = sharpen(policy.model)
    scorer = Scorer(model)
    assert (True, True) == (scorer.shares_prompt, scorer.fuses_head)
    assert_logprobs(model, PROMPTS, COMPLETIONS, temperature)


@pytest.mark.parametrize("size", [1, 16])
def test_groups_of_1_and_of_16(size: int, policy: Policy) -> None:
    model = sharpen(policy.model)
    assert_logprobs(model, PROMPTS[:1], [SIXTEEN[-size:]], 0.7)
    assert_gradient(model, PROMPTS[0], SIXTEEN[-size:], 0.7)


@pytest.mark.parametrize("place", range(4), ids=lambda place: f"prompt_of_{len(PROMPTS[place])}")
def test_the_gradient_is_that_of_the_plain_path(place: int, policy: Policy) -> None:
    """In every leaf, the embedding's included, which both ends of the model share."""
    assert_gradient(sharpen(policy.model), PROMPTS[place], COMPLETIONS[place], 0.7)


@pytest.mark.parametrize("make", OTHERS, ids=lambda make: make.__name__)
def test_other_architectures_take_the_short_cuts_that_they_can(
    make: Callable[[], nn.Module],
) -> None:
    """And are right whichever these are."""
    model = sharpen(make())
    scorer = Scorer(model)
    assert OTHERS[make] == (scorer.shares_prompt, scorer.fuses_head)
    assert_logprobs(model, PROMPTS, COMPLETIONS, 0.8)
    assert_gradient(model, PROMPTS[1], COMPLETIONS[2], 0.8)


@pytest.mark.parametrize("make", [untied, scaled], ids=lambda make: make.__name__)
def test_entropy_is_that_of_the_distribution_each_token_is_drawn_from(
    make: Callable[[], nn.Module],
) -> None:
    """-sum p log p at the temperature, 0 for padding, with and without a fused head."""
    model = sharpen(make())
    prompt, group = PROMPTS[0], COMPLETIONS[0]
    scorer = Scorer(model, temperature=0.6)

    scores = scorer.score(prompt, scorer.state_of(prompt), group, 9, entropy=True)

    assert scores.entropy is not None
    assert (3, 9) == scores.entropy.shape
    for row, completion in enumerate(group):
        logits = np.array(model(mx.array([prompt + completion]))[0], dtype=np.float64) / 0.6
        p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
        expected = -(p * np.log(p)).sum(axis=-1)[len(prompt) - 1 :][: len(completion)]
        actual = np.array(scores.entropy[row])
        np.testing.assert_allclose(actual[: len(completion)], expected, rtol=1e-5)
        assert not actual[len(completion) :].any()
    assert scorer.score(prompt, scorer.state_of(prompt), group, 9).entropy is None


@pytest.mark.parametrize("block", [1, 100, 2048])
def test_rows_of_the_vocabulary_at_once_change_nothing(block: int, policy: Policy) -> None:
    model = sharpen(policy.model)
    prompt, group = PROMPTS[0], COMPLETIONS[0]

    def scores(block: int | None) -> np.ndarray:
        scorer = Scorer(model, 0.7, block)
        return np.array(scorer.score(prompt, scorer.state_of(prompt), group, 7).logprobs)

    np.testing.assert_allclose(scores(None), scores(block), rtol=1e-5, atol=1e-6)


def test_padding_contributes_nothing(policy: Policy) -> None:
    """The gradient of a short and a long completion together is the sum of each alone, and a
    length beyond the longest changes neither scores nor gradient."""
    model = sharpen(policy.model)
    prompt, short, long = PROMPTS[0], [31, 2], [900, 7, 7, 61, 5, 2]

    def total(model: nn.Module, group: list[list[int]], length: int = 6) -> mx.array:
        scorer = Scorer(model)
        return scorer.score(prompt, scorer.state_of(prompt), group, length).logprobs.sum()

    together = gradient_of(model, lambda model: total(model, [short, long]))
    wider = gradient_of(model, lambda model: total(model, [short, long], 24))
    alone = [gradient_of(model, lambda model, c=c: total(model, [c])) for c in (short, long)]

    assert_same_gradient({name: alone[0][name] + alone[1][name] for name in alone[0]}, together)
    assert_same_gradient(together, wider)
    np.testing.assert_allclose(
        np.array(completion_logprobs(model, [prompt], [[short]]).logprobs[0, 0]),
        np.array(completion_logprobs(model, [prompt], [[short, long]]).logprobs[0, 0, :2]),
        rtol=1e-5,
    )


def test_the_prompt_goes_through_the_model_once(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 30 tokens, 29 once and the last with the completions: 4 rows of 1 + 8 - 1 positions."""
    trunk, shapes = policy.model.model, []
    scorer = Scorer(policy.model)
    call = type(trunk).__call__

    def counted(self: nn.Module, inputs: mx.array, *args: Any, **kwargs: Any) -> mx.array:
        shapes.append(inputs.shape)
        return call(self, inputs, *args, **kwargs)

    monkeypatch.setattr(type(trunk), "__call__", counted)
    state = scorer.state_of(PROMPTS[1])
    scorer.score(PROMPTS[1], state, [[1, 2, 3]] * 4, 8)

    assert [(1, 29), (4, 8)] == shapes


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


def test_a_completion_list_for_each_prompt_is_asked_for(policy: Policy) -> None:
    """Prompts and groups that do not pair up are a defect, not a shorter result."""
    with pytest.raises(ValueError, match="shorter"):
        completion_logprobs(policy.model, PROMPTS, COMPLETIONS[:2])


def test_rows_are_padded_with_nothing() -> None:
    assert [[1, 0, 0], [1, 1, 1]] == completion_mask([[7], [0, 0, 0]], 3).tolist()
    assert [[-1.5, 0, 0], [-1.0, -2.0, 0]] == padded([[-1.5], [-1.0, -2.0]], 3).tolist()
