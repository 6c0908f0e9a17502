"""The GRPO loss against numbers worked out by hand and its gradient against the policy gradient."""

import mlx.core as mx
import numpy as np
import pytest

from tersely.errors import ConfigError
from tersely.objective.aggregation import Aggregation, token_weights
from tersely.objective.config import GrpoConfig
from tersely.objective.losses import LossInputs, LossParts, grpo

PAD = 0.0
PROXIMAL = [[-1.0, -2.0, PAD, PAD], [-1.0, -1.0, -1.0, -1.0]]
POLICY = [[-0.7, -2.1, PAD, PAD], [-1.2, -0.9, -1.0, -1.3]]
"""Ratios exp(0.3) = 1.349859, exp(-0.1) = 0.904837; exp(-0.2) = 0.818731, exp(0.1) = 1.105171,
1, exp(-0.3) = 0.740818."""
MASK = [[1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]]
LENGTHS = [2, 4]


def inputs(
    *,
    sampler: list[list[float]] = PROXIMAL,
    reference: list[list[float]] | None = None,
    advantages: tuple[float, float] = (1.0, -1.0),
    aggregation: Aggregation = Aggregation.sequence_mean,
) -> LossInputs:
    """Of a batch of one group, G = 2, T = 4, whose completions may have 5 tokens."""
    (weights,) = token_weights(aggregation, [LENGTHS], max_tokens=5)
    return LossInputs(
        proximal_logprobs=mx.array(PROXIMAL),
        sampler_logprobs=mx.array(sampler),
        reference_logprobs=None if reference is None else mx.array(reference),
        advantages=mx.array(advantages),
        mask=mx.array(MASK),
        weights=mx.array(weights),
        token_share=1 / sum(LENGTHS),
    )


def loss(policy: list[list[float]], given: LossInputs, **changes: float) -> LossParts:
    return grpo(
        mx.array(policy), given, **({"clip_low": 0.2, "clip_high": 0.2, "beta": 0.0} | changes)
    )


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [
        # Means -1.052419 and 0.930976, their mean.
        (Aggregation.sequence_mean, -0.060722),
        # Sums -2.104837 and 3.723902: 1.619065 over 6 tokens,
        (Aggregation.token_mean, 0.269844),
        # and over 2 completions of at most 5.
        (Aggregation.constant, 0.161906),
    ],
)
def test_losses_of_tokens_become_one_number(aggregation: Aggregation, expected: float) -> None:
    """Losses of tokens: -min(1.349859, 1.2) = -1.2 and -0.904837; with A = -1 they are 0.818731,
    1.105171, 1 and max(0.740818, 0.8) = 0.8."""
    parts = loss(POLICY, inputs(aggregation=aggregation))

    assert expected == pytest.approx(parts.surrogate.item(), abs=1e-6)
    assert expected == pytest.approx(parts.total.item(), abs=1e-6)
    assert 0.0 == parts.kl_reference.item()


def test_a_higher_upper_clip_lets_the_good_token_go_further() -> None:
    """-1.28 in the place of -1.2: (-1.28 - 0.904837) / 2 = -1.092419, with 0.930976 -0.080722."""
    assert -0.080722 == pytest.approx(
        loss(POLICY, inputs(), clip_high=0.28).surrogate.item(), abs=1e-6
    )


@pytest.mark.parametrize("aggregation", Aggregation)
def test_what_is_logged_is_over_all_tokens_however_the_loss_is(aggregation: Aggregation) -> None:
    """Mean ratio (1.349859 + 0.904837 + 0.818731 + 1.105171 + 1 + 0.740818) / 6 = 0.986569.

    Held: 1.349859 with A = 1 and 0.740818 with A = -1, 2 of 6.
    k3 with d = sampler - policy = -0.3, 0.1; 0.2, -0.1, 0, 0.3: 0.040818, 0.005171; 0.021403,
    0.004837, 0, 0.049859: mean 0.020348.
    """
    parts = loss(POLICY, inputs(aggregation=aggregation))

    assert 0.986569 == pytest.approx(parts.ratio_mean.item(), abs=1e-6)
    assert 2 / 6 == pytest.approx(parts.clip_share.item())
    assert 0.020348 == pytest.approx(parts.kl_sampler.item(), abs=1e-6)


def test_the_ratio_is_against_the_proximal_policy_and_the_sampler_is_another() -> None:
    """A sampler that says what the policy says is at divergence 0, and the ratios are as before:
    surrogate and shares are those of the proximal policy."""
    parts = loss(POLICY, inputs(sampler=POLICY))

    assert 0.0 == parts.kl_sampler.item()
    assert 0.986569 == pytest.approx(parts.ratio_mean.item(), abs=1e-6)
    assert -0.060722 == pytest.approx(parts.surrogate.item(), abs=1e-6)


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [
        # (0.040818 + 0.021403) / 2 = 0.031110, and 0 for the other completion: their mean.
        (Aggregation.sequence_mean, 0.015555),
        # 0.062221 over 6 tokens, and over 2 * 5.
        (Aggregation.token_mean, 0.010370),
        (Aggregation.constant, 0.006222),
    ],
)
def test_the_reference_adds_its_divergence(aggregation: Aggregation, expected: float) -> None:
    """Policy -1 -2 against reference -1.3 -1.8: k3 0.040818 and 0.021403; the other completion
    equals its reference. Times beta 0.5, weighted as the surrogate is.

    Where the policy is the proximal one and the advantages are 0, the surrogate is 0.
    """
    reference = [[-1.3, -1.8, PAD, PAD], [-1.0, -1.0, -1.0, -1.0]]
    given = inputs(reference=reference, advantages=(0.0, 0.0), aggregation=aggregation)

    parts = loss(PROXIMAL, given, beta=0.5)

    assert 0.0 == parts.surrogate.item()
    assert expected == pytest.approx(parts.kl_reference.item(), abs=1e-6)
    assert expected / 2 == pytest.approx(parts.total.item(), abs=1e-6)


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [
        # A / (G L): lengths 2 and 4.
        (Aggregation.sequence_mean, [[-1 / 4, -1 / 4, 0, 0], [-1 / 8] * 4]),
        # A over 6 tokens; A / (2 * 5).
        (Aggregation.token_mean, [[-1 / 6, -1 / 6, 0, 0], [-1 / 6] * 4]),
        (Aggregation.constant, [[-1 / 10, -1 / 10, 0, 0], [-1 / 10] * 4]),
    ],
)
def test_on_fresh_rollouts_the_slope_of_a_token_is_its_weight_times_its_advantage(
    aggregation: Aggregation, expected: list[list[float]]
) -> None:
    """At ratio 1, d loss / d logprob = -A w, here with A = 1."""
    given = inputs(advantages=(1.0, 1.0), aggregation=aggregation)

    gradient = mx.grad(
        lambda policy: grpo(policy, given, clip_low=0.2, clip_high=0.2, beta=0.0).total
    )(mx.array(PROXIMAL))

    np.testing.assert_allclose(np.array(gradient), expected, rtol=1e-6)


def test_padding_has_no_gradient_and_no_say() -> None:
    """Whatever stands in the padding of policy, sampler and reference."""
    wild = mx.array([[-0.7, -2.1, 3.0, -40.0], [-1.2, -0.9, -1.0, -1.3]])
    reference = [[-0.7, -2.1, -5.0, 9.0], [-1.2, -0.9, -1.0, -1.3]]
    sampler = [[-1.0, -2.0, 7.0, -6.0], [-1.0, -1.0, -1.0, -1.0]]
    given = inputs(sampler=sampler, reference=reference)

    parts = grpo(wild, given, clip_low=0.2, clip_high=0.2, beta=0.5)
    gradient = mx.grad(
        lambda policy: grpo(policy, given, clip_low=0.2, clip_high=0.2, beta=0.5).total
    )(wild)

    assert -0.060722 == pytest.approx(parts.total.item(), abs=1e-6)
    assert 0.986569 == pytest.approx(parts.ratio_mean.item(), abs=1e-6)
    assert 0.020348 == pytest.approx(parts.kl_sampler.item(), abs=1e-6)
    assert [0.0, 0.0] == gradient[0, 2:].tolist()


@pytest.mark.parametrize("aggregation", Aggregation)
def test_chunks_of_a_batch_add_up_to_it(aggregation: Aggregation) -> None:
    """In every field, each chunk cut to its own length and with the rows in any order."""
    reference = [[-1.3, -1.8, PAD, PAD], [-1.4, -1.0, -0.6, -1.0]]
    given = inputs(reference=reference, aggregation=aggregation)
    policy = mx.array(POLICY)

    def parts(rows: list[int], length: int) -> LossParts:
        own = policy[mx.array(rows), :length]
        return grpo(own, given.take(rows, length), clip_low=0.2, clip_high=0.2, beta=0.5)

    whole, turned, short, long = parts([0, 1], 4), parts([1, 0], 4), parts([0], 2), parts([1], 4)

    for field in LossParts._fields:
        expected = getattr(whole, field).item()
        assert expected == pytest.approx(getattr(turned, field).item(), abs=1e-6)
        added = getattr(short, field).item() + getattr(long, field).item()
        assert expected == pytest.approx(added, abs=1e-6)


def test_a_chunk_has_its_rows_of_everything() -> None:
    """And each token the weight that it has in the batch."""
    given = inputs(reference=POLICY)._replace(sampler_logprobs=mx.array(MASK))

    taken = given.take([1], 3)

    assert [[-1.0, -1.0, -1.0]] == taken.proximal_logprobs.tolist()
    assert [[1.0, 1.0, 1.0]] == taken.sampler_logprobs.tolist() == taken.mask.tolist()
    assert taken.reference_logprobs is not None
    assert [[-1.2, -0.9, -1.0]] == [pytest.approx(row) for row in taken.reference_logprobs.tolist()]
    assert [-1.0] == taken.advantages.tolist()
    assert [1 / 8] == taken.weights.tolist()
    assert 1 / 6 == taken.token_share
    assert inputs().take([1], 3).reference_logprobs is None


def test_the_config_builds_the_loss_with_its_values() -> None:
    """clip_high 0.28 gives -0.080722 as above; clip_low 0.3 lets 0.740818 through: 0.916180 in
    the place of 0.930976, (-1.092419 + 0.916180) / 2 = -0.088120."""
    built = GrpoConfig(clip_low=0.3, clip_high=0.28, beta=0.0).build()
    assert -0.088120 == pytest.approx(built(mx.array(POLICY), inputs()).total.item(), abs=1e-6)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("clip_low", 0.0, r"loss.clip_low must lie in \(0, 1\), got 0.0"),
        ("clip_low", 1.0, r"loss.clip_low must lie in \(0, 1\), got 1.0"),
        ("clip_high", 0.0, "loss.clip_high must be above 0, got 0.0"),
        ("clip_high", float("inf"), "loss.clip_high must be above 0, got inf"),
        ("beta", -1e-4, "loss.beta must be 0 or more, got -0.0001"),
        ("beta", float("nan"), "loss.beta must be 0 or more, got nan"),
    ],
)
def test_a_wrong_value_is_refused_with_its_key(key: str, value: float, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        GrpoConfig(**{key: value})  # type: ignore[arg-type]
