"""The GRPO loss against numbers worked out by hand and its gradient against the policy gradient."""

import mlx.core as mx
import numpy as np
import pytest

from tersely.errors import ConfigError
from tersely.objective.aggregation import Aggregation, token_weights
from tersely.objective.config import GrpoConfig, LossConfig, StudyConfig
from tersely.objective.correction import Correction, uncorrected
from tersely.objective.correction_config import (
    CorrectionConfig,
    Level,
    MisConfig,
    NoCorrection,
    TisConfig,
)
from tersely.objective.losses import LossInputs, LossParts, grpo, study

PAD = 0.0
SAMPLER = [[-1.0, -2.0, PAD, PAD], [-1.0, -1.0, -1.0, -1.0]]
POLICY = [[-0.7, -2.1, PAD, PAD], [-1.2, -0.9, -1.0, -1.3]]
"""Ratios exp(0.3) = 1.349859, exp(-0.1) = 0.904837; exp(-0.2) = 0.818731, exp(0.1) = 1.105171,
1, exp(-0.3) = 0.740818."""
MASK = [[1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]]
LENGTHS = [2, 4]


def inputs(
    *,
    sampler: list[list[float]] = SAMPLER,
    proximal: list[list[float]] | None = None,
    reference: list[list[float]] | None = None,
    advantages: tuple[float, float] = (1.0, -1.0),
    aggregation: Aggregation = Aggregation.sequence_mean,
) -> LossInputs:
    """Of a batch of one group, G = 2, T = 4, whose completions may have 5 tokens."""
    (weights,) = token_weights(aggregation, [LENGTHS], max_tokens=5)
    return LossInputs(
        proximal_logprobs=None if proximal is None else mx.array(proximal),
        sampler_logprobs=mx.array(sampler),
        reference_logprobs=None if reference is None else mx.array(reference),
        advantages=mx.array(advantages),
        mask=mx.array(MASK),
        weights=mx.array(weights),
        token_share=1 / sum(LENGTHS),
    )


def loss(
    policy: list[list[float]],
    given: LossInputs,
    correction: Correction = uncorrected,
    **changes: float,
) -> LossParts:
    values = {"clip_low": 0.2, "clip_high": 0.2, "beta": 0.0} | changes
    return grpo(mx.array(policy), given, correction=correction, **values)


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
    k3 with d = policy - sampler = 0.3, -0.1; -0.2, 0.1, 0, -0.3: 0.049859, 0.004837; 0.018731,
    0.005171, 0, 0.040818: mean 0.019903. To a reference that is the sampler it is that of -d:
    0.040818, 0.005171; 0.021403, 0.004837, 0, 0.049859: mean 0.020348.
    """
    parts = loss(POLICY, inputs(aggregation=aggregation, reference=SAMPLER))

    assert 0.986569 == pytest.approx(parts.ratio_mean.item(), abs=1e-6)
    assert 2 / 6 == pytest.approx(parts.clip_share.item())
    assert 0.019903 == pytest.approx(parts.mismatch_kl.item(), abs=1e-6)
    assert 0.020348 == pytest.approx(parts.reference_kl.item(), abs=1e-6)
    assert 0.0 == parts.capped_share.item()


def test_the_mismatch_is_the_divergence_of_policy_from_sampler_not_the_reverse() -> None:
    """Over all draws of the sampler its mean is KL(sampler || policy). Four tokens with
    probabilities 0.4, 0.3, 0.2, 0.1 under the sampler, each as often as it is drawn of ten, and
    0.1, 0.2, 0.3, 0.4 under the policy: (0.4 - 0.1) log 4 + (0.3 - 0.2) log 1.5 = 0.456435."""
    sampler, policy = (0.4, 0.3, 0.2, 0.1), (0.1, 0.2, 0.3, 0.4)
    drawn = [token for token, times in enumerate((4, 3, 2, 1)) for _ in range(times)]
    given = LossInputs(
        proximal_logprobs=None,
        sampler_logprobs=mx.log(mx.array([[sampler[token] for token in drawn]])),
        reference_logprobs=None,
        advantages=mx.array([0.0]),
        mask=mx.ones((1, 10)),
        weights=mx.array([0.1]),
        token_share=0.1,
    )
    logprobs = mx.log(mx.array([[policy[token] for token in drawn]]))

    parts = grpo(logprobs, given, clip_low=0.2, clip_high=0.2, beta=0.0)

    assert 0.456435 == pytest.approx(parts.mismatch_kl.item(), abs=1e-6)


OLD_SAMPLER = [[-1.1, -1.8, PAD, PAD], [-2.5, -1.0, -1.0, -1.0]]
"""Off `SAMPLER`, here the proximal policy, by 0.1, -0.2; 1.5, 0, 0, 0: weights 1.105171, 0.818731;
4.481689, 1, 1, 1, and 0.904837 and 4.481689 for the completions."""


@pytest.mark.parametrize(
    ("correction", "expected", "capped"),
    [
        # -1.326205 and -0.740818; 2 * 0.818731 = 1.637462, 1.105171, 1 and 0.8: means -1.033512
        # and 1.135658. Without the capped token 0.726293.
        (TisConfig(), 0.051073, 1 / 6),
        (MisConfig(level=Level.token), -0.153609, 1 / 6),
        # Means -1.052419 and 0.930976 of the surrogate, times 0.904837 and 2 or 0.
        (TisConfig(level=Level.sequence), 0.454841, 4 / 6),
        (MisConfig(), -0.476134, 4 / 6),
        # Ratios are against the old sampler: 1.491825, clipped to 1.2, and 0.740818; 3.669297,
        # 1.105171, 1 and 0.8: means -0.970409 and 1.643617.
        (NoCorrection(), 0.336604, 0.0),
    ],
)
def test_what_an_old_rollout_counts(
    correction: CorrectionConfig, expected: float, capped: float
) -> None:
    """Losses of tokens as above, -1.2 and -0.904837; 0.818731, 1.105171, 1 and 0.8, times their
    weights. The clip holds as many as it did; the divergence from the reference has no weight."""
    given = inputs(sampler=OLD_SAMPLER, proximal=SAMPLER, reference=SAMPLER)

    parts = loss(POLICY, given, correction.build(), beta=0.5)
    plain = loss(POLICY, inputs(reference=SAMPLER), beta=0.5)

    assert expected == pytest.approx(parts.surrogate.item(), abs=1e-6)
    assert capped == pytest.approx(parts.capped_share.item())
    assert plain.clip_share.item() == parts.clip_share.item()
    assert plain.kl_reference.item() == parts.kl_reference.item() > 0.01


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

    Where the advantages are 0, the surrogate is 0.
    """
    reference = [[-1.3, -1.8, PAD, PAD], [-1.0, -1.0, -1.0, -1.0]]
    given = inputs(reference=reference, advantages=(0.0, 0.0), aggregation=aggregation)

    parts = loss(SAMPLER, given, beta=0.5)

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
    )(mx.array(SAMPLER))

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
    assert 0.019903 == pytest.approx(parts.mismatch_kl.item(), abs=1e-6)
    assert [0.0, 0.0] == gradient[0, 2:].tolist()


@pytest.mark.parametrize("correction", [NoCorrection(), TisConfig(), MisConfig()])
@pytest.mark.parametrize("aggregation", Aggregation)
def test_chunks_of_a_batch_add_up_to_it(
    aggregation: Aggregation, correction: CorrectionConfig
) -> None:
    """In every field, each chunk cut to its own length and with the rows in any order."""
    reference = [[-1.3, -1.8, PAD, PAD], [-1.4, -1.0, -0.6, -1.0]]
    given = inputs(
        sampler=OLD_SAMPLER, proximal=SAMPLER, reference=reference, aggregation=aggregation
    )
    policy = mx.array(POLICY)
    built = GrpoConfig(beta=0.5).build(correction.build())

    def parts(rows: list[int], length: int) -> LossParts:
        return built(policy[mx.array(rows), :length], given.take(rows, length))

    whole, turned, short, long = parts([0, 1], 4), parts([1, 0], 4), parts([0], 2), parts([1], 4)

    for field in LossParts._fields:
        expected = getattr(whole, field).item()
        assert expected == pytest.approx(getattr(turned, field).item(), abs=1e-6)
        added = getattr(short, field).item() + getattr(long, field).item()
        assert expected == pytest.approx(added, abs=1e-6)


STUDY = {"clip_low": 0.2, "clip_high": 0.2, "beta": 0.5}
REFERENCE = [[-1.3, -1.8, PAD, PAD], [-1.4, -1.0, -0.6, -1.0]]


def test_the_study_has_one_ratio_a_completion() -> None:
    """Mean differences (0.3 - 0.1) / 2 = 0.1 and (-0.2 + 0.1 + 0 - 0.3) / 4 = -0.1: ratios
    1.105171 and 0.904837, with A = 1 and -1 the mean of -1.105171 and 0.904837. Over tokens the
    ratio is (2 * 1.105171 + 4 * 0.904837) / 6.

    Reference: means -1.4 and -1.55, d = -0.15, k3 0.010708; -1.1 and -1, d = 0.1, k3 0.005171.
    """
    parts = study(mx.array(POLICY), inputs(proximal=SAMPLER, reference=REFERENCE), **STUDY)

    assert -0.100167 == pytest.approx(parts.surrogate.item(), abs=1e-6)
    assert 0.971615 == pytest.approx(parts.ratio_mean.item(), abs=1e-6)
    assert 0.007939 == pytest.approx(parts.kl_reference.item(), abs=1e-6)
    assert -0.100167 + 0.003970 == pytest.approx(parts.total.item(), abs=1e-6)
    assert (0.0, 0.0) == (parts.clip_share.item(), parts.capped_share.item())
    plain = loss(POLICY, inputs(reference=REFERENCE))
    assert plain.mismatch_kl.item() == parts.mismatch_kl.item() > 0.01
    assert plain.reference_kl.item() == parts.reference_kl.item() > 0.01


def test_the_study_clips_whole_completions() -> None:
    """At 0.05 both are held, -1.05 and 0.95; at 0.1 above alone the first, -1.1 and 0.904837."""
    given = inputs(proximal=SAMPLER)

    both = study(mx.array(POLICY), given, clip_low=0.05, clip_high=0.05, beta=0.0)
    first = study(mx.array(POLICY), given, clip_low=0.2, clip_high=0.1, beta=0.0)

    assert -0.05 == pytest.approx(both.surrogate.item(), abs=1e-6)
    assert 1.0 == pytest.approx(both.clip_share.item())
    assert -0.097581 == pytest.approx(first.surrogate.item(), abs=1e-6)
    assert 2 / 6 == pytest.approx(first.clip_share.item())


def test_the_study_s_divergence_is_that_of_means_and_far_smaller() -> None:
    """Policy -1 -2 against -1.3 -1.8: k3 of means, d = -0.05, is 0.001229, where the mean of k3 is
    (0.040818 + 0.021403) / 2 = 0.031110. The other completion equals its reference."""
    reference = [[-1.3, -1.8, PAD, PAD], [-1.0, -1.0, -1.0, -1.0]]
    given = inputs(reference=reference)

    assert 0.001229 / 2 == pytest.approx(
        study(mx.array(SAMPLER), given, **STUDY).kl_reference.item(), abs=1e-6
    )
    assert 0.031110 / 2 == pytest.approx(loss(SAMPLER, given).kl_reference.item(), abs=1e-6)


def test_in_its_only_update_the_study_s_ratio_is_1_whoever_sampled() -> None:
    """To the bit, so the surrogate is the mean of -A, and no clip can hold anything."""
    given = inputs(sampler=OLD_SAMPLER, advantages=(2.0, -1.0))

    parts = study(mx.array(POLICY), given, clip_low=1e-6, clip_high=1e-6, beta=0.0)

    assert -0.5 == parts.surrogate.item() == parts.total.item()
    assert 1.0 == pytest.approx(parts.ratio_mean.item(), abs=1e-7)
    assert 0.0 == parts.clip_share.item() == parts.kl_reference.item()


@pytest.mark.parametrize("aggregation", Aggregation)
def test_on_fresh_rollouts_the_study_s_gradient_is_that_of_grpo(aggregation: Aggregation) -> None:
    """Of the surrogate: A / (G L) for each token of a mean over completions, and so for others."""
    given = inputs(advantages=(1.5, -0.5), aggregation=aggregation)
    only = {"clip_low": 0.2, "clip_high": 0.2, "beta": 0.0}

    own = mx.grad(lambda policy: study(policy, given, **only).total)(mx.array(SAMPLER))
    token_level = mx.grad(lambda policy: grpo(policy, given, **only).total)(mx.array(SAMPLER))

    np.testing.assert_allclose(np.array(own), np.array(token_level), rtol=1e-6)
    assert (own != 0).sum().item() == sum(LENGTHS)


@pytest.mark.parametrize("proximal", [None, SAMPLER])
@pytest.mark.parametrize("aggregation", Aggregation)
def test_chunks_add_up_for_the_study_too(
    aggregation: Aggregation, proximal: list[list[float]] | None
) -> None:
    given = inputs(
        sampler=OLD_SAMPLER, proximal=proximal, reference=REFERENCE, aggregation=aggregation
    )
    policy = mx.array(POLICY)
    built = StudyConfig(beta=0.5).build()

    whole = built(policy, given)
    short, long = built(policy[:1, :2], given.take([0], 2)), built(policy[1:], given.take([1], 4))

    for field in LossParts._fields:
        added = getattr(short, field).item() + getattr(long, field).item()
        assert getattr(whole, field).item() == pytest.approx(added, abs=1e-6)


@pytest.mark.parametrize("config", [GrpoConfig(beta=0.5), StudyConfig(beta=0.5)])
def test_a_completion_without_a_label_has_no_say(config: LossConfig) -> None:
    """Its only token ended the turn and is masked out. The others' gradient stays; no NaN."""
    mask = [[0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]]
    given = inputs(reference=REFERENCE)._replace(mask=mx.array(mask), token_share=1 / 4)
    built = config.build()

    parts = built(mx.array(POLICY), given)
    gradient = mx.grad(lambda policy: built(policy, given).total)(mx.array(POLICY))
    alone = mx.grad(lambda policy: built(policy, given.take([1], 4)).total)(mx.array(POLICY[1:]))

    assert all(np.isfinite(value.item()) for value in parts)
    assert [0.0] * 4 == gradient[0].tolist()
    np.testing.assert_allclose(np.array(gradient[1:]), np.array(alone), rtol=1e-6)


def test_the_study_has_no_correction_and_one_update() -> None:
    StudyConfig().check(NoCorrection(), 1)
    GrpoConfig().check(TisConfig(), 2)
    with pytest.raises(ConfigError, match="loss=study knows nothing of the sampler"):
        StudyConfig().check(TisConfig(), 1)
    with pytest.raises(ConfigError, match="one update a step, and this run asks for 2"):
        StudyConfig().check(NoCorrection(), 2)


def test_a_chunk_has_its_rows_of_everything() -> None:
    """And each token the weight that it has in the batch."""
    given = inputs(reference=POLICY, proximal=SAMPLER)._replace(sampler_logprobs=mx.array(MASK))

    taken = given.take([1], 3)

    assert taken.proximal_logprobs is not None
    assert [[-1.0, -1.0, -1.0]] == taken.proximal_logprobs.tolist()
    assert [[1.0, 1.0, 1.0]] == taken.sampler_logprobs.tolist() == taken.mask.tolist()
    assert taken.reference_logprobs is not None
    assert [[-1.2, -0.9, -1.0]] == [pytest.approx(row) for row in taken.reference_logprobs.tolist()]
    assert [-1.0] == taken.advantages.tolist()
    assert [1 / 8] == taken.weights.tolist()
    assert 1 / 6 == taken.token_share
    assert inputs().take([1], 3).reference_logprobs is None
    assert inputs().take([1], 3).proximal_logprobs is None


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
