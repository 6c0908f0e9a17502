"""Checks on made-up steps: what no real stage here does, and thresholds worked by hand."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
from watched_stages import a_rollout, a_setting, a_step, found_by

from tersely.objective.advantages import zscore
from tersely.records import Group, Rollout, Scores
from tersely.training.checks.all import Checks
from tersely.training.checks.examples import missing_scores
from tersely.training.checks.rewards import correlation
from tersely.training.checks.seen import Seen, Setting
from tersely.training.config import Precision


def found(steps: list[Seen], setting: Setting | None = None) -> dict[str, int]:
    return found_by(Checks(setting or a_setting()), steps)


def with_rollouts(seen: Seen, rollouts: tuple[Rollout, ...]) -> Seen:
    """Every prompt of the step gets these."""
    groups = tuple(Group(group.prompt, rollouts) for group in seen.batch.groups)
    return replace(seen, batch=replace(seen.batch, groups=groups))


def scored(seen: Seen, *groups: dict[str, tuple[float, ...]]) -> Seen:
    """The step with the terms of its groups, whose reward is their sum."""
    scores = [Scores(terms, tuple(map(sum, zip(*terms.values(), strict=True)))) for terms in groups]
    return replace(seen, scores=scores, advantages=[zscore(each.reward) for each in scores])


def test_sound_steps_are_sound() -> None:
    assert {} == found([a_step(step) for step in range(1, 60)])


def test_posts_that_are_left_out_are_found_at_once_from_a_twentieth_on() -> None:
    assert {} == found([a_step(1)], a_setting(posts=100, prompts=95))
    assert {"prompts_cut": 1} == found([a_step(1)], a_setting(posts=100, prompts=94))


def test_a_completion_older_than_is_allowed_is_found_at_once() -> None:
    """At version 8 one of version 7 may be, one of version 6 may not."""
    ids = (1, 2, 3, 4)
    allowed, stale = (
        with_rollouts(a_step(9), tuple(a_rollout((n, *ids, 0), version) for n in range(4)))
        for version in (7, 6)
    )
    assert {} == found([allowed])
    assert {"sync_not_taken": 9} == found([stale])


def test_without_a_reference_a_mismatch_that_grows_is_found() -> None:
    """An unchanged sampler is `t^2` away. From version 10 on (step 11) the first five are
    remembered, median 1e-4 * 12^2 = 0.0144; 25 times that is 0.36, passed from above version 60 on:
    steps 62 to 66 are five in a row, 61 lies on the bound."""
    steps = [
        a_step(step, metrics={"loss/mismatch_kl": 1e-4 * (step - 1) ** 2}) for step in range(1, 80)
    ]
    assert {"sync_not_taken": 66} == found(steps)


def test_a_warm_up_is_no_sampler_that_stays_behind() -> None:
    """The mismatch goes with the square of the learning rate, which rises to 1 over 50 updates:
    from 0.04 x 0.025 at version 10 to 0.025. Looked at from version 25 on, a quarter of that."""
    steps = []
    for step in range(1, 80):
        rate = min(1.0, (step - 1) / 50)
        metrics = {"loss/mismatch_kl": 0.025 * rate**4, "update/learning_rate": 5e-5 * rate}
        steps.append(a_step(step, metrics=metrics))
    assert {} == found(steps)


def test_one_odd_token_is_no_other_model() -> None:
    """A mean of one step is far off; of three steps in a row, the first of them fresh, it is not
    an accident, though the policy has been updated since. Old rollouts alone say nothing."""

    def steps(*mismatches: float) -> list[Seen]:
        return [
            a_step(step, metrics={"loss/mismatch_kl": mismatch})
            for step, mismatch in enumerate(mismatches, start=1)
        ]

    assert {} == found(steps(5.0, 1e-4, 5.0, 5.0, 5.0))
    assert {} == found(steps(1e-4, 5.0, 5.0, 5.0, 5.0))
    assert {"sampler_disagrees": 3} == found(steps(0.03, 0.03, 0.03))


def test_pairs_of_equal_texts_are_found() -> None:
    """In a group of two, one text is half of two different ones."""
    steps = []
    for step in range(1, 11):
        seen = a_step(step)
        groups = tuple(
            Group(group.prompt, (group.rollouts[0],) * 2 if step > 1 else group.rollouts[:2])
            for group in seen.batch.groups
        )
        steps.append(replace(seen, batch=replace(seen.batch, groups=groups)))
    assert 10 == found(steps)["same_text"]


def test_updates_of_nothing_are_not_few_changes() -> None:
    """Groups of equal rewards have no gradient, and `no_spread` is the cause."""
    for cause in ({"reward/zero_std_share": 1.0}, {"update/gradient_norm": 0.0}):
        steps = [
            a_step(step, metrics={"update/changed_share": 0.0} | cause) for step in range(1, 30)
        ]
        assert "few_changes" not in found(steps)


def test_the_clip_is_looked_at_by_update_not_by_the_mean_of_a_step() -> None:
    """Norms of 0.4 and 5.6 are 3 in the mean, and half of them are clipped."""
    for share, expected in ((0.5, {}), (1.0, {"gradient_clipped": 20})):
        metrics = {"update/gradient_norm": 3.0, "update/clipped_share": share}
        steps = [a_step(step, metrics=metrics) for step in range(1, 30)]
        assert expected == found(steps, a_setting(updates_per_step=2))


def test_engines_that_round_are_no_old_weights() -> None:
    """The mismatch is as large as the KL to the reference, and was so at the first step."""
    steps = [
        a_step(
            step,
            reference=None,
            metrics={"loss/mismatch_kl": 5e-3, "loss/reference_kl": 5e-3},
        )
        for step in range(1, 60)
    ]
    assert {} == found(steps)


def test_one_unlabelled_stop_is_no_finding_and_sixteen_are() -> None:
    """Twelve completions a step, so sixteen are there at the second; ids end with 0."""
    unlabelled = [
        with_rollouts(a_step(step), tuple(a_rollout((step, n, 7), step - 1) for n in range(4)))
        for step in (1, 2)
    ]
    assert {} == found(unlabelled[:1])
    assert {"end_never_label": 2} == found(unlabelled)


def test_an_end_of_turn_that_is_left_out_on_purpose_is_said_too() -> None:
    assert {"end_never_label": 1} == found([a_step(1)], a_setting(train_end_of_turn=False))


def test_a_policy_that_never_stops_is_found_after_64_completions() -> None:
    """Twelve a step: at the sixth there are 72. One end of turn before is enough."""
    endless = [
        with_rollouts(
            a_step(step), tuple(a_rollout((step, n, 7), step - 1, stopped=False) for n in range(4))
        )
        for step in range(1, 8)
    ]
    assert {"end_never_label": 6} == found(endless)
    assert {} == found([a_step(1), *endless[1:]])


def test_a_text_for_every_prompt_is_found_though_groups_vary() -> None:
    """Four different texts in each of the groups, the same four for all."""
    steps = [
        with_rollouts(
            a_step(step), tuple(a_rollout((n, 5, 5, 5, 5, 0), step - 1) for n in range(4))
        )
        for step in range(1, 11)
    ]
    assert {"same_text": 10} == found(steps)


def test_with_one_prompt_a_step_the_step_before_is_looked_at_too() -> None:
    """At the first step there was none: 9 of 10 in the mean."""
    steps = []
    for step in range(1, 11):
        seen = with_rollouts(
            a_step(step), tuple(a_rollout((n, 5, 5, 5, 5, 0), step - 1) for n in range(4))
        )
        batch = replace(seen.batch, groups=seen.batch.groups[:1])
        steps.append(
            replace(seen, batch=batch, scores=seen.scores[:1], advantages=seen.advantages[:1])
        )
    assert {"same_text": 10} == found(steps)


def test_the_correlation_is_pearsons() -> None:
    """Deviations -1.5 -0.5 0.5 1.5 and -1 1 -1 1: products sum to 1.5 - 0.5 - 0.5 + 1.5 = 2; roots
    of the sums of squares are sqrt(5) and 2. So 2 / (2 sqrt(5)) = 0.447."""
    assert 1 / math.sqrt(5) == pytest.approx(correlation((1, 2, 3, 4), (0, 2, 0, 2)))
    assert correlation((1, 2, 3, 4), (2, 2, 2, 2)) is None


def test_the_length_term_drowns_the_quality_term() -> None:
    """Quality +-0.01 in the pattern + - + -, length +-1 in the pattern + + - -: they do not
    correlate, and the reward follows length by 1 / sqrt(1 + 0.01^2). Three groups a step, so 20
    steps have more than 40. With quality +-0.4 it correlates by 0.37 and is learned too."""

    def steps(quality: float) -> list[Seen]:
        terms = {
            "length": (1.0, 1.0, -1.0, -1.0),
            "rouge": (quality, -quality, quality, -quality),
        }
        return [scored(a_step(step), terms, terms, terms) for step in range(1, 25)]

    assert {"one_term_decides": 20} == found(steps(0.01))
    assert {} == found(steps(0.4))


def test_forty_groups_are_waited_for() -> None:
    """One group a step is 20 in a window."""
    terms = {"length": (1.0, 1.0, -1.0, -1.0), "rouge": (0.01, -0.01, 0.01, -0.01)}
    steps = []
    for step in range(1, 30):
        seen = a_step(step)
        batch = replace(seen.batch, groups=seen.batch.groups[:1])
        steps.append(scored(replace(seen, batch=batch), terms))
    assert {} == found(steps)


def test_a_term_at_zero_is_found_unless_zero_is_its_best() -> None:
    """Eleven of twelve scores are 0: 92 %. All lengths at the target are no fault."""

    def steps(name: str) -> list[Seen]:
        other = {"other": (0.1, 0.4, 0.2, 0.3)}
        zero, some = {name: (0.0,) * 4, **other}, {name: (0.0, 0.0, 0.0, 0.3), **other}
        return [scored(a_step(step), zero, zero, some) for step in range(1, 12)]

    assert {"term_constant": 10} == found(steps("bleu"))
    assert {} == found(steps("length"))


def test_scores_that_some_summaries_lack_are_named_with_their_number() -> None:
    """The facts of one of three posts are known, and one METEOR is not a number."""
    scores = [
        SimpleNamespace(overlap={"meteor": 0.5, "bleu": 0.1}, facts={"fact_coverage": 0.0}),
        SimpleNamespace(overlap={"meteor": math.nan, "bleu": 0.1}, facts={}),
        SimpleNamespace(overlap={"meteor": 0.2, "bleu": 0.0}, facts={}),
    ]
    finding = missing_scores(scores)

    assert finding is not None
    assert "metric_missing" == finding.name
    assert "of 3 summaries" in finding.sentence
    assert "meteor (2), fact_coverage (1) have one" in finding.sentence
    assert missing_scores(scores[:1]) is None


def test_a_learning_rate_near_zero_may_change_few_weights() -> None:
    """At the end of a decay; at the peak it is a fault."""
    few = {"update/changed_share": 0.01}
    low = [a_step(step, metrics=few | {"update/learning_rate": 1e-7}) for step in range(1, 30)]
    high = [a_step(step, metrics=few) for step in range(1, 30)]

    assert {} == found(low)
    assert {"few_changes": 10} == found(high)
    assert {} == found(high, a_setting(precision=Precision.bf16_stochastic))


def test_a_step_without_an_update_is_passed_over() -> None:
    """Its loss was not finite, so it has no `loss/...` and no `update/gradient_norm`."""
    kept = {"reward", "length", "rollout"}
    steps = []
    for step in range(1, 30):
        seen = a_step(step)
        metrics = {
            name: value
            for name, value in seen.metrics.items()
            if name[:6] in {each[:6] for each in kept}
        }
        steps.append(replace(seen, metrics=metrics | {"update/learning_rate": 5e-5}))
    assert {} == found(steps)
