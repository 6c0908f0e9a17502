"""The LM head in blocks against the softmax it stands for, written out over whole logits."""

import math
from typing import NamedTuple

import mlx.core as mx
import numpy as np
import pytest

from tersely.policy.lm_head import token_scores

TOKENS, VOCABULARY, WIDTH = 7, 50, 8
BLOCKS = pytest.mark.parametrize("block", [1, 7, 10, 49, 50, 1000, None])
"""Rows of the vocabulary at once: one, a number that does not divide it, one that does, all but
one, all, more than there are, and what it takes by itself."""
TEMPERATURES = pytest.mark.parametrize("temperature", [1.0, 0.6, 1.7])


class Head(NamedTuple):
    hidden: mx.array
    weight: mx.array
    targets: mx.array


@pytest.fixture
def head() -> Head:
    """Logits between about -9 and 9; one token stands twice among the targets, and the first and
    the last of the vocabulary are among them."""
    keys = mx.random.split(mx.random.key(3))
    return Head(
        mx.random.normal((TOKENS, WIDTH), key=keys[0]) * 1.2,
        mx.random.normal((VOCABULARY, WIDTH), key=keys[1]),
        mx.array([0, 49, 12, 7, 12, 30, 48]),
    )


def probabilities(head: Head, temperature: float = 1.0) -> np.ndarray:
    """`[N, V]`, in float64."""
    hidden, weight = (np.array(array.astype(mx.float32), np.float64) for array in head[:2])
    logits = hidden @ weight.T / temperature
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def expected_logprobs(head: Head, temperature: float = 1.0) -> np.ndarray:
    chosen = np.array(head.targets)
    return np.log(probabilities(head, temperature)[np.arange(len(chosen)), chosen])


def assert_near(expected: np.ndarray, actual: mx.array, relative: float = 1e-5) -> None:
    """As a whole: the distance is that share of what is expected."""
    off = np.linalg.norm(np.array(actual.astype(mx.float32)) - expected)
    assert off <= relative * np.linalg.norm(expected)


def test_two_tokens_by_hand() -> None:
    """Logits 0 and log 3 are the probabilities 1/4 and 3/4; at temperature 0.5 they are 0 and
    2 log 3 = log 9, 1/10 and 9/10.

    d logprob(y) / dh = W[y] - sum p W: 0 - 3/4 log 3 for the first, log 3 / 4 for the second.
    d logprob(y) / dW = h ([row is y] - p), with h = 1: (3/4, -3/4) and (-1/4, 1/4).
    H = log 4 / 4 + 3/4 log(4/3) = 0.562335.
    """
    hidden, weight = mx.array([[1.0], [1.0]]), mx.array([[0.0], [math.log(3)]])
    targets = mx.array([0, 1])

    scores = token_scores(hidden, weight, targets, entropy=True)
    sharp = token_scores(hidden, weight, targets, temperature=0.5).logprobs
    slopes = [
        mx.grad(lambda h, w, y=y: token_scores(h, w, targets).logprobs[y], argnums=(0, 1))(
            hidden, weight
        )
        for y in (0, 1)
    ]

    assert [math.log(1 / 4), math.log(3 / 4)] == pytest.approx(scores.logprobs.tolist())
    assert scores.entropy is not None
    assert [0.562335] * 2 == pytest.approx(scores.entropy.tolist(), abs=1e-6)
    assert [math.log(1 / 10), math.log(9 / 10)] == pytest.approx(sharp.tolist())
    assert [-0.75 * math.log(3), 0] == pytest.approx(slopes[0][0][:, 0].tolist())
    assert [0, 0.25 * math.log(3)] == pytest.approx(slopes[1][0][:, 0].tolist())
    assert [0.75, -0.75] == pytest.approx(slopes[0][1][:, 0].tolist())
    assert [-0.25, 0.25] == pytest.approx(slopes[1][1][:, 0].tolist())


@BLOCKS
@TEMPERATURES
def test_logprobs_and_entropy_are_those_of_the_softmax(
    block: int | None, temperature: float, head: Head
) -> None:
    """Entropy is -sum p log p."""
    p = probabilities(head, temperature)

    scores = token_scores(*head, temperature=temperature, entropy=True, block=block)

    assert mx.float32 == scores.logprobs.dtype
    assert_near(expected_logprobs(head, temperature), scores.logprobs)
    assert scores.entropy is not None
    assert_near(-(p * np.log(p)).sum(axis=-1), scores.entropy)


@BLOCKS
@TEMPERATURES
def test_the_gradient_is_that_of_the_softmax(
    block: int | None, temperature: float, head: Head
) -> None:
    """With a cotangent c a token: dh = c (W[y] - p W) / temperature, and dW is the sum over tokens
    of c ([row is y] - p) h / temperature; a row that two tokens chose gets both."""
    hidden, weight = (np.array(array, np.float64) for array in head[:2])
    cotangent = np.linspace(-1.5, 2.0, TOKENS)
    slope = np.eye(VOCABULARY)[np.array(head.targets)] - probabilities(head, temperature)
    slope = slope * cotangent[:, None] / temperature

    def total(hidden: mx.array, weight: mx.array) -> mx.array:
        scores = token_scores(hidden, weight, head.targets, temperature=temperature, block=block)
        return (scores.logprobs * mx.array(cotangent.astype(np.float32))).sum()

    at_hidden, at_weight = mx.grad(total, argnums=(0, 1))(head.hidden, head.weight)

    assert_near(slope @ weight, at_hidden)
    assert_near(slope.T @ hidden, at_weight)


def test_either_side_can_be_differentiated_alone(head: Head) -> None:
    def total(hidden: mx.array, weight: mx.array) -> mx.array:
        return token_scores(hidden, weight, head.targets, block=10).logprobs.sum()

    both = mx.grad(total, argnums=(0, 1))(head.hidden, head.weight)
    alone = mx.grad(total, argnums=0)(head.hidden, head.weight)
    other = mx.grad(total, argnums=1)(head.hidden, head.weight)

    assert mx.array_equal(both[0], alone).item()
    assert mx.array_equal(both[1], other).item()


def test_a_weight_that_is_not_trained_has_no_gradient_and_changes_no_other(head: Head) -> None:
    """With adapters; to compute it would be a third of the backward pass."""

    def total(hidden: mx.array, weight: mx.array, trained: bool) -> mx.array:
        scores = token_scores(hidden, weight, head.targets, block=10, trained=trained)
        return scores.logprobs.sum()

    slope = mx.grad(total, argnums=(0, 1))
    (usual, _), (alone, frozen) = (slope(head.hidden, head.weight, each) for each in (True, False))

    assert mx.array_equal(usual, alone).item()
    assert not frozen.any().item()


def test_entropy_is_computed_where_it_is_asked_for_and_has_no_gradient(head: Head) -> None:
    assert token_scores(*head).entropy is None

    def total(hidden: mx.array, weight: mx.array) -> mx.array:
        scores = token_scores(hidden, weight, head.targets, entropy=True)
        assert scores.entropy is not None
        return scores.entropy.sum()

    for gradient in mx.grad(total, argnums=(0, 1))(head.hidden, head.weight):
        assert not gradient.any().item()


def test_asking_for_the_entropy_changes_nothing_else(head: Head) -> None:
    def total(hidden: mx.array, weight: mx.array, entropy: bool) -> mx.array:
        return token_scores(hidden, weight, head.targets, entropy=entropy).logprobs.sum()

    for argument in (0, 1):
        slope = mx.grad(total, argnums=argument)
        plain, beside = (slope(head.hidden, head.weight, each) for each in (False, True))
        assert mx.array_equal(plain, beside).item()


@pytest.mark.parametrize("block", [1, 2, 5])
def test_logits_of_ten_thousand_are_numbers_as_any_other(block: int) -> None:
    """h = (100, 0) against rows (100, 0), (-100, 0), (0, 100), (0, -100), (50, 50): logits 1e4,
    -1e4, 0, 0, 5e3. The first row has probability 1: logprobs 0 for it, -2e4 for the second, and
    -5e3 for the last. Entropy 0. Gradients W[y] - W[0], and h in row y, -h in row 0."""
    hidden = mx.array([[100.0, 0.0]] * 3)
    weight = mx.array([[100.0, 0.0], [-100.0, 0.0], [0.0, 100.0], [0.0, -100.0], [50.0, 50.0]])
    targets = mx.array([0, 1, 4])

    scores = token_scores(hidden, weight, targets, entropy=True, block=block)
    at_hidden, at_weight = mx.grad(
        lambda h, w: token_scores(h, w, targets, block=block).logprobs.sum(), argnums=(0, 1)
    )(hidden, weight)

    assert [0, -2e4, -5e3] == pytest.approx(scores.logprobs.tolist(), rel=1e-5, abs=1e-2)
    assert scores.entropy is not None
    assert [0, 0, 0] == pytest.approx(scores.entropy.tolist(), abs=1e-2)
    assert [[0, 0], [-200, 0], [-50, 50]] == at_hidden.tolist()
    assert [[-200, 0], [100, 0], [0, 0], [0, 0], [100, 0]] == at_weight.tolist()


def test_a_uniform_distribution_has_the_entropy_of_its_size(head: Head) -> None:
    """All logits 0: log 50 each."""
    scores = token_scores(mx.zeros_like(head.hidden), head.weight, head.targets, entropy=True)
    assert scores.entropy is not None
    assert [math.log(50)] * TOKENS == pytest.approx(scores.entropy.tolist())
    assert [-math.log(50)] * TOKENS == pytest.approx(scores.logprobs.tolist())


@BLOCKS
def test_of_bfloat16_inputs_only_the_products_are_rounded(block: int | None, head: Head) -> None:
    """Against float64 on the same rounded values. Logits stay below 16, where the gap of bfloat16
    is 2^-4: a product that is rounded to nearest is off by half of it, and a logprob, the
    difference of a logit and a mean of logits, by one gap. Sums in bfloat16 would be off by more:
    next to 8 tokens of probability 1/8 another one is rounded away."""
    low = Head(head.hidden.astype(mx.bfloat16), head.weight.astype(mx.bfloat16), head.targets)

    def total(hidden: mx.array, weight: mx.array) -> mx.array:
        return token_scores(hidden, weight, low.targets, block=block).logprobs.sum()

    scores = token_scores(*low, entropy=True, block=block)
    at_hidden, at_weight = mx.grad(total, argnums=(0, 1))(low.hidden, low.weight)

    assert mx.float32 == scores.logprobs.dtype
    off = np.abs(expected_logprobs(low) - np.array(scores.logprobs))
    assert off.max() <= 2**-4
    assert (mx.bfloat16, mx.bfloat16) == (at_hidden.dtype, at_weight.dtype)
    slope = np.eye(VOCABULARY)[np.array(low.targets)] - probabilities(low)
    hidden, weight = (np.array(array.astype(mx.float32), np.float64) for array in low[:2])
    # Shares are rounded to 8 bits and follow logits that are off by up to half a gap.
    assert_near(slope @ weight, at_hidden, relative=0.03)
    assert_near(slope.T @ hidden, at_weight, relative=0.03)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_a_token_is_never_likelier_than_certain_in_bfloat16_either(temperature: float) -> None:
    """Hidden states that point at their token, with logits of 28 before the temperature and all
    others below 13: the sampler, whose logits are rounded once each, draws it with a logprob of 0
    to four places. If logit and logsumexp are rounded apart, half of the logprobs lie above 0 and
    the ratio of a fresh rollout is 1 +- 0.1."""
    keys = mx.random.split(mx.random.key(0))
    weight = (mx.random.normal((2048, 256), key=keys[0]) / 16).astype(mx.bfloat16)
    targets = mx.arange(64) * 7
    noise = 0.3 * mx.random.normal((64, 256), key=keys[1])
    hidden = (24 * weight[targets].astype(mx.float32) + noise).astype(mx.bfloat16)
    logits = (hidden @ weight.T).astype(mx.float32) / temperature
    sampler = logits[mx.arange(64), targets] - mx.logsumexp(logits, axis=-1)
    assert mx.abs(sampler).max().item() < 1e-4

    logprobs = token_scores(hidden, weight, targets, temperature=temperature).logprobs

    assert logprobs.max().item() < 1e-4
    assert mx.abs(logprobs - sampler).max().item() < 1e-2


def test_logits_of_all_tokens_never_stand_in_memory() -> None:
    """256 tokens over a vocabulary of 65,536 are 67 MB of logits, and a softmax with its gradient
    needs several times that. In blocks of 256 rows (0.3 MB) the forward pass took 4 MB, and both
    passes 33 MB, of which 17 are the weight's gradient and 17 a copy of it."""
    tokens, vocabulary, width = 256, 65_536, 64
    keys = mx.random.split(mx.random.key(1), 3)
    hidden = mx.random.normal((tokens, width), key=keys[0])
    weight = mx.random.normal((vocabulary, width), key=keys[1]) * 0.1
    targets = mx.random.randint(0, vocabulary, (tokens,), key=keys[2])
    mx.eval(hidden, weight, targets)
    whole = 4 * tokens * vocabulary

    def total(hidden: mx.array, weight: mx.array) -> mx.array:
        return token_scores(hidden, weight, targets, entropy=True, block=256).logprobs.sum()

    before = mx.get_active_memory()
    mx.reset_peak_memory()
    mx.eval(total(hidden, weight))
    forward = mx.get_peak_memory() - before
    mx.reset_peak_memory()
    mx.eval(mx.grad(total, argnums=(0, 1))(hidden, weight))
    both = mx.get_peak_memory() - before

    assert forward < whole / 5
    assert both < 2.5 * weight.nbytes < whole
