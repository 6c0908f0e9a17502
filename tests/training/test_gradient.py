"""Chunks, shared prompts and checkpoints against the plain path: every row with its prompt, logits
of all positions, log-softmax, and the loss written out."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from architectures import capped, windowed
from mlx.utils import tree_flatten

from tersely.objective.aggregation import Aggregation, token_weights
from tersely.objective.config import GrpoConfig
from tersely.objective.losses import LossInputs, LossParts
from tersely.policy.load import Policy
from tersely.policy.logprobs import Scorer, completion_mask, padded
from tersely.policy.tuning import LoraConfig
from tersely.training.chunks import Chunk, Plan, split
from tersely.training.gradient import (
    GradientSum,
    GroupTokens,
    group_gradient,
    group_logprobs,
)

Load = Callable[..., Policy]

ARCHITECTURES = pytest.mark.parametrize("architecture", ["qwen2", "lfm2"])
CHECKPOINTS = pytest.mark.parametrize("again", [False, True], ids=["kept", "checkpoints"])
TEMPERATURE, BETA = 0.7, 0.3
PROMPT = [5, 9, 301, 77, 8, 400, 401]
SIXTEEN = [[(37 * row + 11 * at) % 2048 for at in range(1 + (7 * row) % 23)] for row in range(16)]
"""1 to 23 tokens."""


class Case(NamedTuple):
    """One group, in a batch with another one of the same size and 10 tokens in each."""

    prompt: Sequence[int]
    completions: Sequence[Sequence[int]]
    aggregation: Aggregation = Aggregation.sequence_mean

    @property
    def advantages(self) -> np.ndarray:
        return np.random.default_rng(0).standard_normal(len(self.completions)) + 0.1

    @property
    def weights(self) -> list[float]:
        lengths = [len(each) for each in self.completions]
        return token_weights(self.aggregation, [lengths, [10] * len(lengths)], max_tokens=30)[0]

    @property
    def token_share(self) -> float:
        return 1 / (sum(map(len, self.completions)) + 10 * len(self.completions))


class Others(NamedTuple):
    """What others say of a group's tokens, row by row."""

    sampler: list[np.ndarray]
    reference: list[np.ndarray]


class Plain(NamedTuple):
    """What the plain path gives."""

    parts: dict[str, float]
    gradient: dict[str, np.ndarray]


def sharpened(policy: Policy) -> nn.Module:
    """Distributions that are less even than random weights make them, so that errors show."""
    policy.model.model.embed_tokens.weight = policy.model.model.embed_tokens.weight * 1.5
    return policy.model


def logits_of(model: nn.Module, case: Case, row: int) -> mx.array:
    """`[T, V]` of one completion: no cache, no padding, computed at all positions."""
    whole = mx.array([[*case.prompt, *case.completions[row]]])
    return model(whole)[0, len(case.prompt) - 1 : -1].astype(mx.float32) / TEMPERATURE


def logprobs_of(logits: mx.array, completion: Sequence[int]) -> mx.array:
    logprobs = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
    return logprobs[mx.arange(len(completion)), mx.array(completion)]


def others(model: nn.Module, case: Case) -> Others:
    """The policy's own word with noise of 0.3: some ratios are beyond the clip, on both sides."""
    draw = np.random.default_rng(1)
    rows = range(len(case.completions))
    own = [
        np.array(logprobs_of(logits_of(model, case, row), case.completions[row])) for row in rows
    ]
    return Others(
        *([(each + 0.3 * draw.standard_normal(len(each))) for each in own] for _ in range(2))
    )


def plain(model: nn.Module, case: Case, said: Others) -> Plain:
    """Loss, what is logged of it, and gradient, with nothing saved."""

    def parts() -> dict[str, mx.array]:
        sums = dict.fromkeys([*LossParts._fields, "entropy"], mx.array(0.0))
        for row, weight in enumerate(case.weights):
            logits = logits_of(model, case, row)
            logprobs = logprobs_of(logits, case.completions[row])
            advantage = float(case.advantages[row])
            reference = mx.array(said.reference[row], mx.float32) - logprobs
            mismatch = logprobs - mx.array(said.sampler[row], mx.float32)
            ratio = mx.exp(mismatch)
            p = mx.softmax(logits, axis=-1)
            own = {
                "surrogate": -weight
                * mx.minimum(ratio * advantage, mx.clip(ratio, 0.8, 1.2) * advantage),
                "kl_reference": weight * (mx.exp(reference) - reference - 1),
                "ratio_mean": case.token_share * ratio,
                "mismatch_kl": case.token_share * (mx.exp(mismatch) - mismatch - 1),
                "reference_kl": case.token_share * (mx.exp(reference) - reference - 1),
                "clip_share": case.token_share * (ratio > 1.2 if advantage > 0 else ratio < 0.8),
                "entropy": -case.token_share * (p * mx.log(p)).sum(axis=-1),
            }
            sums |= {name: sums[name] + each.sum() for name, each in own.items()}
        return sums | {"total": sums["surrogate"] + BETA * sums["kl_reference"]}

    def total() -> tuple[mx.array, dict[str, mx.array]]:
        computed = parts()
        return computed["total"], computed

    (_, sums), gradient = nn.value_and_grad(model, total)()
    return Plain(
        {name: each.item() for name, each in sums.items()},
        {name: np.array(each) for name, each in tree_flatten(gradient)},
    )


def ready(case: Case, said: Others) -> GroupTokens:
    """The group as an update has it, padded to its longest completion rounded up."""
    length = max(chunk.length for chunk in everything(case).chunks)
    rows = [padded([row.tolist() for row in each], length) for each in said]
    return GroupTokens(
        case.prompt,
        case.completions,
        LossInputs(
            None,
            *rows,
            advantages=mx.array(case.advantages.astype(np.float32)),
            mask=completion_mask(case.completions, length),
            weights=mx.array(case.weights),
            token_share=case.token_share,
        ),
    )


def everything(case: Case, again: bool = False) -> Plan:
    lengths = [len(each) for each in case.completions]
    return Plan(split(lengths, len(lengths)), together=True, checkpoint=again)


def one_by_one(case: Case, most: int, again: bool = False) -> Plan:
    lengths = [len(each) for each in case.completions]
    return Plan(split(lengths, most), together=False, checkpoint=again)


def assert_as_plain(
    expected: Plain, model: nn.Module, case: Case, said: Others, plan: Plan, relative: float = 1e-5
) -> None:
    """Every part of the loss, and the gradient of every leaf by its L2 distance. One that is below
    a hundredth of the whole counts as that: where a token sees nothing but itself, the gradient
    of the queries is 0 but for rounding."""
    scorer = Scorer(model, TEMPERATURE)
    loss = GrpoConfig(beta=BETA).build()

    found = group_gradient(scorer, loss, ready(case, said), plan, entropy=True)

    parts = found.parts.loss._asdict() | {"entropy": found.parts.entropy}
    assert expected.parts.keys() == parts.keys()
    for name, value in expected.parts.items():
        assert value == pytest.approx(parts[name].item(), rel=relative, abs=1e-6), name
    gradient = dict(tree_flatten(found.gradient))
    assert expected.gradient.keys() == gradient.keys()
    whole = np.linalg.norm([np.linalg.norm(array) for array in expected.gradient.values()])
    for name, array in expected.gradient.items():
        assert mx.float32 == gradient[name].dtype
        off = np.linalg.norm(array - np.array(gradient[name]))
        assert off <= relative * max(np.linalg.norm(array), whole / 100), name


@ARCHITECTURES
@CHECKPOINTS
@pytest.mark.parametrize("aggregation", Aggregation)
def test_a_group_of_16_in_chunks_of_every_size(
    aggregation: Aggregation, again: bool, architecture: str, eager: Load
) -> None:
    """From one completion to all of them, one chunk after the other, and everything at once."""
    model = sharpened(eager(architecture))
    case = Case(PROMPT, SIXTEEN, aggregation)
    said = others(model, case)
    expected = plain(model, case, said)
    assert 0.05 < expected.parts["clip_share"] < 0.5

    # Checkpoints do the same whatever the chunk; a few sizes are enough of both.
    sizes = range(1, 17) if aggregation is Aggregation.sequence_mean else (1, 5, 16)
    for most in (1, 3, 16) if again else sizes:
        plan = one_by_one(case, most, again)
        assert most >= max(len(chunk.rows) for chunk in plan.chunks)
        assert_as_plain(expected, model, case, said, plan)
    assert_as_plain(expected, model, case, said, everything(case, again))


@ARCHITECTURES
@CHECKPOINTS
@pytest.mark.parametrize(
    ("prompt", "completions"),
    [
        (PROMPT, [[4, 8, 15]]),
        (PROMPT, [[7]]),
        (PROMPT, [[2], [2], [2]]),
        ([5], [[4, 8, 15], [16]]),
        ([5], [[2], [3]]),
        ([5, 6], [[4, 8, 15], [16]]),
        (PROMPT * 5, [[900] * 30, [2], [31, 41]]),
    ],
    ids=[
        "group of 1",
        "group of 1 with 1 token",
        "completions of 1 token",
        "prompt of 1 token",
        "prompt and completions of 1 token",
        "prompt of 2 tokens",
        "mostly padding",
    ],
)
def test_what_is_small_or_ragged(
    prompt: list[int], completions: list[list[int]], again: bool, architecture: str, eager: Load
) -> None:
    model = sharpened(eager(architecture))
    case = Case(prompt, completions)
    said = others(model, case)
    expected = plain(model, case, said)

    # Few tokens, few sums that would even out: the plain path is itself up to 8e-6 off float64.
    assert_as_plain(expected, model, case, said, everything(case, again), relative=2e-5)
    assert_as_plain(expected, model, case, said, one_by_one(case, 1, again), relative=2e-5)


@ARCHITECTURES
def test_chunks_need_not_be_the_ones_that_cost_least(architecture: str, eager: Load) -> None:
    """Rows in any order, padding far beyond what is needed, several chunks in one graph."""
    model = sharpened(eager(architecture))
    case = Case(PROMPT, [[4, 8, 15], [16], [23, 42, 7, 7, 7]])
    said = others(model, case)
    expected = plain(model, case, said)
    chunks = (Chunk((2, 1), 8), Chunk((0,), 8))

    for together in (True, False):
        assert_as_plain(expected, model, case, said, Plan(chunks, together, False))


@ARCHITECTURES
@CHECKPOINTS
def test_adapters_get_their_gradient_and_nothing_else_does(
    again: bool, architecture: str, eager: Load
) -> None:
    """Frozen weights have no leaf. B is moved off 0 first, or A's gradient would be 0."""
    policy = eager(architecture)
    sharpened(policy)
    policy.attach(LoraConfig(rank=2, scale=4.0), seed=1)
    policy.model.load_weights(
        [
            (name, array + 0.05 * mx.random.normal(array.shape, key=mx.random.key(place)))
            for place, (name, array) in enumerate(tree_flatten(policy.model.trainable_parameters()))
        ],
        strict=False,
    )
    case = Case(PROMPT, SIXTEEN[:5])
    said = others(policy.model, case)
    expected = plain(policy.model, case, said)
    assert expected.gradient
    assert all(name.endswith(("lora_a", "lora_b")) for name in expected.gradient)

    assert_as_plain(expected, policy.model, case, said, everything(case, again))
    assert_as_plain(expected, policy.model, case, said, one_by_one(case, 2, again))


@CHECKPOINTS
@pytest.mark.parametrize("make", [windowed, capped], ids=lambda make: make.__name__)
def test_an_architecture_without_the_short_cuts_has_the_same_gradient(
    make: Callable[[], nn.Module], again: bool
) -> None:
    mx.random.seed(3)
    model = make()
    case = Case(PROMPT * 2, SIXTEEN[:5])
    said = others(model, case)
    expected = plain(model, case, said)

    assert_as_plain(expected, model, case, said, everything(case, again))
    assert_as_plain(expected, model, case, said, one_by_one(case, 2, again))


def stored(model: nn.Module) -> dict[str, bytes]:
    return {name: np.array(array).tobytes() for name, array in tree_flatten(model.parameters())}


@ARCHITECTURES
@pytest.mark.parametrize("together", [True, False])
def test_the_model_is_left_as_it_was(together: bool, architecture: str, eager: Load) -> None:
    """The same arrays, after an error, too; with checkpoints the layers are what they were."""
    model = eager(architecture).model
    case = Case(PROMPT, SIXTEEN[:4])
    group = ready(case, others(model, case))
    before = stored(model)
    classes = [type(layer) for layer in model.layers]
    plan = everything(case, True) if together else one_by_one(case, 2, True)

    def failing(logprobs: mx.array, inputs: LossInputs) -> LossParts:
        raise ZeroDivisionError

    group_gradient(Scorer(model), GrpoConfig(beta=BETA).build(), group, plan)
    assert before == stored(model)
    with pytest.raises(ZeroDivisionError):
        group_gradient(Scorer(model), failing, group, plan)
    assert before == stored(model)
    assert classes == [type(layer) for layer in model.layers]


def test_the_entropy_is_counted_where_it_is_asked_for(eager: Load) -> None:
    model = eager().model
    case = Case(PROMPT, SIXTEEN[:4])
    group = ready(case, others(model, case))
    loss = GrpoConfig(beta=BETA).build()

    assert 0 == group_gradient(Scorer(model), loss, group, everything(case)).parts.entropy.item()


@pytest.mark.parametrize("together", [True, False])
def test_a_bfloat16_model_has_its_gradient_in_float32(together: bool, eager: Load) -> None:
    """Every leaf of it. With a loss that has no clip, at which rounding would decide, it is 1 % of
    its length from that of the float32 model with the same weights, as the plain path is."""
    model = sharpened(eager())
    model.set_dtype(mx.bfloat16)
    case = Case(PROMPT, SIXTEEN[:6])
    plan = everything(case) if together else one_by_one(case, 2)

    def linear(logprobs: mx.array, inputs: LossInputs) -> LossParts:
        weights = inputs.mask * (inputs.weights * inputs.advantages)[:, None]
        return LossParts((logprobs * weights).sum(), *[mx.array(0.0)] * 7)

    def gradient(dtype: mx.Dtype) -> list[mx.array]:
        model.set_dtype(dtype)
        group = ready(case, said)
        found = group_gradient(Scorer(model, TEMPERATURE), linear, group, plan).gradient
        return [array for _, array in tree_flatten(found)]

    model.set_dtype(mx.float32)
    said = others(model, case)
    exact, rounded = gradient(mx.float32), gradient(mx.bfloat16)

    assert {mx.float32} == {array.dtype for array in rounded}
    off = sum(mx.square(a - b).sum().item() for a, b in zip(exact, rounded, strict=True))
    assert off < 0.03**2 * sum(mx.square(array).sum().item() for array in exact)


@ARCHITECTURES
@pytest.mark.parametrize("most", [1, 3, 16])
def test_logprobs_without_a_gradient(most: int, architecture: str, eager: Load) -> None:
    """As the plain path has them, in the order of the group, 0 for padding."""
    model = sharpened(eager(architecture))
    case = Case(PROMPT, SIXTEEN)
    chunks = split([len(each) for each in SIXTEEN], most)

    logprobs = np.array(group_logprobs(Scorer(model, TEMPERATURE), PROMPT, SIXTEEN, chunks))

    assert (16, 24) == logprobs.shape  # 23 tokens rounded up
    for row, completion in enumerate(SIXTEEN):
        expected = np.array(logprobs_of(logits_of(model, case, row), completion))
        actual = logprobs[row]
        np.testing.assert_allclose(actual[: len(completion)], expected, rtol=1e-5, atol=3e-5)
        assert not actual[len(completion) :].any()


@ARCHITECTURES
@pytest.mark.parametrize("together", [True, False])
def test_a_gradient_can_be_added_to_another(together: bool, architecture: str, eager: Load) -> None:
    """Twice the same group onto one sum is twice its gradient, its parts are once."""
    model = sharpened(eager(architecture))
    case = Case(PROMPT, SIXTEEN[:5])
    group, loss = ready(case, others(model, case)), GrpoConfig(beta=BETA).build()
    plan = everything(case) if together else one_by_one(case, 2)
    scorer, total = Scorer(model, TEMPERATURE), GradientSum()
    alone = group_gradient(scorer, loss, group, plan)

    both = [group_gradient(scorer, loss, group, plan, onto=total) for _ in range(2)]

    once, twice = dict(tree_flatten(alone.gradient)), dict(tree_flatten(total.tree()))
    assert once.keys() == twice.keys()
    for name, array in once.items():
        off = np.linalg.norm(2 * np.array(array) - np.array(twice[name]))
        assert off <= 1e-6 * np.linalg.norm(twice[name]), name
    for found in both:
        assert alone.parts.loss.total.item() == found.parts.loss.total.item()


def test_a_sum_is_float32_whatever_is_added() -> None:
    """256 + 1 is 256 in bfloat16, which has 8 bits."""
    total = GradientSum()
    for value in (256.0, 1.0, 1.0):
        total.add({"layers": [{"w": mx.array([value], mx.bfloat16)}], "b": mx.array([0.25])})
    total.evaluate()

    assert [258.0] == total.tree()["layers"][0]["w"].tolist()
    assert mx.float32 == total.tree()["layers"][0]["w"].dtype
    assert [0.75] == total.tree()["b"].tolist()


def test_a_sum_is_scaled_down_to_a_norm_and_never_up() -> None:
    """(3, 4) and (12) have the norm 13. Cut to 6.5 they are halved."""
    total = GradientSum()
    total.add({"a": mx.array([3.0, 4.0]), "b": mx.array([12.0])})

    assert 13 == pytest.approx(total.clip(100.0))
    assert [3.0, 4.0] == total.tree()["a"].tolist()
    assert 13 == pytest.approx(total.clip(6.5))
    assert [1.5, 2.0] == pytest.approx(total.tree()["a"].tolist())
    assert [6.0] == pytest.approx(total.tree()["b"].tolist())
    assert 6.5 == pytest.approx(total.clip(100.0))


def test_the_norm_of_a_large_leaf_is_right() -> None:
    """8.4 million squares of about 1e-8, as of an embedding (a real one has 136 million). Added
    up one after the other in float32 they are 1.3 % short, and 33 % of the real one: a sum that is
    2^24 times its next term does not grow any more."""
    leaf = 1e-4 * mx.random.normal((4096, 2048), key=mx.random.key(0))
    expected = math.sqrt(np.square(np.array(leaf), dtype=np.float64).sum())
    total = GradientSum()
    total.add({"embedding": leaf})

    assert expected == pytest.approx(total.clip(1e9), rel=1e-4)


def test_what_is_taken_is_no_longer_held() -> None:
    """So that whoever takes it can free it leaf by leaf."""
    total = GradientSum()
    total.add({"a": mx.array([3.0])})

    assert [3.0] == total.take()["a"].tolist()
    total.add({"a": mx.array([4.0])})
    assert [4.0] == total.take()["a"].tolist()
