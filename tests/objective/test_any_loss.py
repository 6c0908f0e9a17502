"""What holds of every choice of the group `loss`, a new one included."""

import mlx.core as mx
import numpy as np
import pytest

from tersely.config import GROUPS
from tersely.objective.aggregation import Aggregation, token_weights
from tersely.objective.losses import Loss, LossInputs, LossParts

SAMPLER = [[-1.0, -2.0, 0.0, 0.0], [-1.0, -1.0, -1.0, -1.0]]
POLICY = [[-0.7, -2.1, 0.0, 0.0], [-1.2, -0.9, -1.0, -1.3]]
REFERENCE = [[-1.3, -1.8, 0.0, 0.0], [-1.4, -1.0, -0.6, -1.0]]
MASK = [[1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]]
LENGTHS = [2, 4]

EVERY = pytest.mark.parametrize("choice", GROUPS["loss"].choices)


def loss(choice: str, beta: float = 0.5) -> Loss:
    built: Loss = GROUPS["loss"].choices[choice](beta=beta).build()
    return built


def inputs(
    aggregation: Aggregation = Aggregation.sequence_mean, *, sampler: list[list[float]] = SAMPLER
) -> LossInputs:
    """Of a batch of one group, G = 2, T = 4; the padding of the first completion is two tokens."""
    (weights,) = token_weights(aggregation, [LENGTHS], max_tokens=5)
    return LossInputs(
        proximal_logprobs=None,
        sampler_logprobs=mx.array(sampler),
        reference_logprobs=mx.array(REFERENCE),
        advantages=mx.array([1.0, -1.0]),
        mask=mx.array(MASK),
        weights=mx.array(weights),
        token_share=1 / sum(LENGTHS),
    )


@EVERY
@pytest.mark.parametrize("aggregation", Aggregation)
def test_chunks_of_a_batch_add_up_to_it(aggregation: Aggregation, choice: str) -> None:
    """In every field, each chunk cut to its own length."""
    given, policy, built = inputs(aggregation), mx.array(POLICY), loss(choice)

    whole = built(policy, given)
    short, long = built(policy[:1, :2], given.take([0], 2)), built(policy[1:], given.take([1], 4))

    for field in LossParts._fields:
        added = getattr(short, field).item() + getattr(long, field).item()
        assert getattr(whole, field).item() == pytest.approx(added, abs=1e-6), field


@EVERY
def test_padding_has_no_gradient_and_no_say(choice: str) -> None:
    """Whatever stands in it."""
    built, given = loss(choice), inputs()
    wild = [[-0.7, -2.1, 3.0, -40.0], POLICY[1]]
    wild_inputs = inputs(sampler=[[-1.0, -2.0, 7.0, -6.0], SAMPLER[1]])

    gradient = mx.grad(lambda policy: built(policy, wild_inputs).total)(mx.array(wild))

    assert [0.0, 0.0] == gradient[0, 2:].tolist()
    expected, found = built(mx.array(POLICY), given), built(mx.array(wild), wild_inputs)
    for field in LossParts._fields:
        assert getattr(expected, field).item() == pytest.approx(getattr(found, field).item())


@EVERY
def test_a_completion_without_a_label_has_no_say(choice: str) -> None:
    """Its only token ended the turn and is masked out. No NaN."""
    given = inputs()._replace(mask=mx.array([[0.0] * 4, [1.0] * 4]), token_share=1 / 4)
    built = loss(choice)

    parts = built(mx.array(POLICY), given)
    gradient = mx.grad(lambda policy: built(policy, given).total)(mx.array(POLICY))

    assert all(np.isfinite(value.item()) for value in parts)
    assert [0.0] * 4 == gradient[0].tolist()


@EVERY
def test_on_fresh_rollouts_better_tokens_become_likelier(choice: str) -> None:
    """Without the KL: the loss falls where a token of the better completion gains, and rises where
    one of the worse does. And `total` is what is said to be in it."""
    built, given = loss(choice, beta=0.0), inputs()._replace(reference_logprobs=None)

    gradient = mx.grad(lambda policy: built(policy, given).total)(mx.array(SAMPLER))
    parts = built(mx.array(SAMPLER), given)

    assert [-1.0, -1.0, 0.0, 0.0] == mx.sign(gradient[0]).tolist()
    assert [1.0] * 4 == mx.sign(gradient[1]).tolist()
    assert 0.0 == parts.kl_reference.item()
    assert parts.total.item() == parts.surrogate.item()


@EVERY
def test_beta_weighs_the_divergence_from_the_reference(choice: str) -> None:
    parts = loss(choice, beta=0.5)(mx.array(POLICY), inputs())
    assert parts.kl_reference.item() > 1e-4
    expected = parts.surrogate.item() + 0.5 * parts.kl_reference.item()
    assert expected == pytest.approx(parts.total.item(), abs=1e-6)
