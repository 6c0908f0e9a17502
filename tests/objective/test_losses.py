"""The GRPO loss against numbers worked out by hand and its gradient against the policy gradient."""

import mlx.core as mx
import numpy as np
import pytest

from tersely.errors import ConfigError
from tersely.objective.config import GrpoConfig
from tersely.objective.losses import GroupTokens, grpo

PAD = 0.0
SAMPLER = [[-1.0, -2.0, PAD, PAD], [-1.0, -1.0, -1.0, -1.0]]
POLICY = [[-0.7, -2.1, PAD, PAD], [-1.2, -0.9, -1.0, -1.3]]
"""Ratios exp(0.3) = 1.349859, exp(-0.1) = 0.904837; exp(-0.2) = 0.818731, exp(0.1) = 1.105171,
1, exp(-0.3) = 0.740818."""
MASK = [[1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]]


def tokens(
    policy: list[list[float]] = POLICY,
    reference: list[list[float]] | None = None,
    advantages: tuple[float, float] = (1.0, -1.0),
) -> GroupTokens:
    return GroupTokens(
        policy_logprobs=mx.array(policy),
        sampler_logprobs=mx.array(SAMPLER),
        reference_logprobs=None if reference is None else mx.array(reference),
        advantages=mx.array(advantages),
        mask=mx.array(MASK),
    )


def test_tokens_are_averaged_in_their_completion_then_completions_in_the_group() -> None:
    """Losses of tokens: -min(1.349859, 1.2) = -1.2 and -0.904837, mean -1.052419; with A = -1
    0.818731, 1.105171, 1 and max(0.740818, 0.8) = 0.8, mean 0.930976. Mean of both -0.060722."""
    loss = grpo(tokens(), clip_low=0.2, clip_high=0.2, beta=0.0)

    assert -0.060722 == pytest.approx(loss.surrogate.item(), abs=1e-6)
    assert -0.060722 == pytest.approx(loss.total.item(), abs=1e-6)
    assert 0.0 == loss.kl_reference.item()


def test_a_higher_upper_clip_lets_the_good_token_go_further() -> None:
    """-1.28 in the place of -1.2: (-1.28 - 0.904837) / 2 = -1.092419, with 0.930976 -0.080722."""
    loss = grpo(tokens(), clip_low=0.2, clip_high=0.28, beta=0.0)
    assert -0.080722 == pytest.approx(loss.surrogate.item(), abs=1e-6)


def test_what_is_logged_is_over_all_tokens() -> None:
    """Mean ratio (1.349859 + 0.904837 + 0.818731 + 1.105171 + 1 + 0.740818) / 6 = 0.986569.

    Held: 1.349859 with A = 1 and 0.740818 with A = -1, 2 of 6.
    k3 with d = sampler - policy = -0.3, 0.1; 0.2, -0.1, 0, 0.3: 0.040818, 0.005171; 0.021403,
    0.004837, 0, 0.049859: mean 0.020348.
    """
    loss = grpo(tokens(), clip_low=0.2, clip_high=0.2, beta=0.0)

    assert 0.986569 == pytest.approx(loss.ratio_mean.item(), abs=1e-6)
    assert 2 / 6 == pytest.approx(loss.clip_share.item())
    assert 0.020348 == pytest.approx(loss.kl_sampler.item(), abs=1e-6)


def test_the_reference_adds_its_divergence() -> None:
    """Policy -1 -1 against reference -1.3 -0.8: k3 0.040818 and 0.021403, mean 0.031110; the
    other completion equals its reference: 0. Mean of both 0.015555, times beta 0.5 0.007778.

    With the policy equal to its sampler the surrogate is -(1 - 1) / 2 = 0.
    """
    policy = [[-1.0, -2.0, PAD, PAD], [-1.0, -1.0, -1.0, -1.0]]
    reference = [[-1.3, -1.8, PAD, PAD], [-1.0, -1.0, -1.0, -1.0]]

    loss = grpo(tokens(policy, reference), clip_low=0.2, clip_high=0.2, beta=0.5)

    assert 0.0 == pytest.approx(loss.surrogate.item(), abs=1e-7)
    assert 0.015555 == pytest.approx(loss.kl_reference.item(), abs=1e-6)
    assert 0.007778 == pytest.approx(loss.total.item(), abs=1e-6)


def test_on_fresh_rollouts_each_token_weighs_a_over_group_and_length() -> None:
    """At ratio 1, d loss / d logprob = -A / (G L): lengths 2 and 4, A = 1 give -1/4 and -1/8."""

    def loss(policy_logprobs: mx.array) -> mx.array:
        fresh = tokens(advantages=(1.0, 1.0))._replace(policy_logprobs=policy_logprobs)
        return grpo(fresh, clip_low=0.2, clip_high=0.2, beta=0.0).total

    gradient = mx.grad(loss)(mx.array(SAMPLER))

    expected = [[-1 / 4, -1 / 4, 0, 0], [-1 / 8] * 4]
    np.testing.assert_allclose(np.array(gradient), expected, rtol=1e-6)


def test_padding_has_no_gradient_and_no_say() -> None:
    """Whatever stands in the padding of any of the three."""
    wild = [[-0.7, -2.1, 3.0, -40.0], [-1.2, -0.9, -1.0, -1.3]]
    reference = [[-0.7, -2.1, -5.0, 9.0], [-1.2, -0.9, -1.0, -1.3]]

    def loss(policy_logprobs: mx.array) -> mx.array:
        padded = tokens(reference=reference)._replace(policy_logprobs=policy_logprobs)
        return grpo(padded, clip_low=0.2, clip_high=0.2, beta=0.5).total

    value, gradient = mx.value_and_grad(loss)(mx.array(wild))

    assert -0.060722 == pytest.approx(value.item(), abs=1e-6)
    assert [0.0, 0.0] == gradient[0, 2:].tolist()


def test_the_config_builds_the_loss_with_its_values() -> None:
    """clip_high 0.28 gives -0.080722 as above; clip_low 0.3 lets 0.740818 through: 0.916180 in
    the place of 0.930976, (-1.092419 + 0.916180) / 2 = -0.088120."""
    built = GrpoConfig(clip_low=0.3, clip_high=0.28, beta=0.0).build()
    assert -0.088120 == pytest.approx(built(tokens()).total.item(), abs=1e-6)


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
        GrpoConfig(**{key: value})
